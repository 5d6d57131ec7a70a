/* Reads digits on the machine, trains it on others for a step, and reads the first ones again.
 *
 * It speaks in lines that demo.py shows and compares with the model: "NAME NUMBER".
 */
#include "console.h"
#include "digits.h"
#include "pulsarray.h"
#include "pulsarray_registers.h"

extern const struct pulsarray_program forward, step;
extern int wait_for_interrupt(void);

static unsigned char buffer[BUFFER_BYTES] __attribute__((aligned(4096)));

static int wait(void *context)
{
    (void)context;
    return wait_for_interrupt();
}

static enum pulsarray_status show(enum pulsarray_status status)
{
    if (status != PULSARRAY_OK) {
        print("failed: ");
        print(pulsarray_message(status));
        print("\n");
    }
    return status;
}

static void write_pixels(struct pulsarray *machine, const struct digits *digits)
{
    const struct pulsarray_tensor *input = pulsarray_tensor(machine, "input");
    for (unsigned i = 0; i < DIGITS; i++)
        for (unsigned pixel = 0; pixel < PIXELS; pixel++)
            pulsarray_set(machine, input, i, pixel, code_of_pixel[digits->pixels[i][pixel]]);
}

static void write_labels(struct pulsarray *machine, const struct digits *digits)
{
    const struct pulsarray_tensor *target = pulsarray_tensor(machine, "target");
    for (unsigned i = 0; i < DIGITS; i++)
        for (unsigned class = 0; class < CLASSES; class++)
            pulsarray_set(machine, target, i, class, code_of_target[digits->labels[i] == class]);
}

/* The class of the largest output. */
static unsigned answer(const struct pulsarray *machine, unsigned row)
{
    const struct pulsarray_tensor *output = pulsarray_tensor(machine, "output");
    unsigned best = 0;
    for (unsigned class = 1; class < CLASSES; class++)
        if (pulsarray_get(machine, output, row, class) > pulsarray_get(machine, output, row, best))
            best = class;
    return best;
}

static enum pulsarray_status run(struct pulsarray *machine)
{
    static unsigned runs = 0;
    enum pulsarray_status status = show(pulsarray_run(machine, 0));
    if (status == PULSARRAY_OK) {
        print_value("cycles", pulsarray_register(machine, PULSARRAY_COUNTER_CYCLES));
        CONSOLE_COPY_MEMORY = runs++;
    } else if (status == PULSARRAY_STOPPED) {
        print(pulsarray_error_name(machine->error_code));
        print_value(" at instruction", machine->error_index);
    }
    return status;
}

static enum pulsarray_status classify(struct pulsarray *machine)
{
    enum pulsarray_status status = show(pulsarray_select(machine, &forward));
    if (status != PULSARRAY_OK)
        return status;
    print_value("classify", DIGITS);
    write_pixels(machine, &test_digits);
    status = run(machine);
    for (unsigned i = 0; status == PULSARRAY_OK && i < DIGITS; i++)
        print_value("answer", answer(machine, i));
    return status;
}

static enum pulsarray_status train(struct pulsarray *machine)
{
    enum pulsarray_status status = show(pulsarray_select(machine, &step));
    if (status != PULSARRAY_OK)
        return status;
    print_value("train", DIGITS);
    write_pixels(machine, &training_digits);
    write_labels(machine, &training_digits);
    return run(machine);
}

int main(void)
{
    struct pulsarray_bus bus = pulsarray_mmio((void *)0x40000000);
    struct pulsarray machine;
    enum pulsarray_status status;
    bus.wait = wait;
    status = show(pulsarray_open(&machine, &bus));
    if (status == PULSARRAY_OK)
        status = show(pulsarray_bind(&machine, buffer, sizeof buffer, (uintptr_t)buffer));
    if (status == PULSARRAY_OK)
        status = show(pulsarray_load(&machine, &step));
    if (status != PULSARRAY_OK)
        return (int)status;
    pulsarray_interrupt(&machine, 1);
    print_value("buffer", (unsigned)(uintptr_t)buffer);
    status = classify(&machine);
    if (status == PULSARRAY_OK)
        status = train(&machine);
    if (status == PULSARRAY_OK)
        status = classify(&machine);
    return (int)status;
}

/* The C driver on a bus of pipes: accesses go to standard output, answers come from standard input;
 * the buffer goes through the file that is named first. Then come the buffer's address, its bytes,
 * and how often to look at the status.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pulsarray.h"
#include "pulsarray_registers.h"

extern const struct pulsarray_program net;

struct host {
    const char *file;
    long looks;
};

static unsigned long ask(const char *what, unsigned long address, unsigned long value)
{
    unsigned long answer = 0;
    printf("%s %lu %lu\n", what, address, value);
    fflush(stdout);
    if (scanf("%lu", &answer) != 1)
        exit(3);
    return answer;
}

static uint32_t bus_read(void *context, uint32_t address)
{
    (void)context;
    return (uint32_t)ask("read", address, 0);
}

static void bus_write(void *context, uint32_t address, uint32_t value)
{
    (void)context;
    ask("write", address, value);
}

static void exchange(const char *file, const char *mode, void *buffer, size_t bytes)
{
    FILE *stream = fopen(file, mode);
    size_t done = mode[0] == 'r' ? fread(buffer, 1, bytes, stream) : fwrite(buffer, 1, bytes, stream);
    if (fclose(stream) != 0 || done != bytes)
        exit(4);
}

static void to_device(void *context, void *buffer, size_t bytes)
{
    exchange(((struct host *)context)->file, "wb", buffer, bytes);
    ask("to_device", 0, 0);
}

static void from_device(void *context, void *buffer, size_t bytes)
{
    ask("from_device", 0, 0);
    exchange(((struct host *)context)->file, "rb", buffer, bytes);
}

static int wait_a_while(void *context)
{
    ask("wait", 0, 0);
    return ((struct host *)context)->looks-- > 0;
}

static enum pulsarray_status failed(enum pulsarray_status status)
{
    if (status != PULSARRAY_OK)
        printf("failed %s\n", pulsarray_message(status));
    return status;
}

static void print_outputs(const struct pulsarray *machine)
{
    size_t i;
    uint32_t row, column;
    for (i = 0; i < net.tensor_count; i++) {
        const struct pulsarray_tensor *tensor = pulsarray_tensor(machine, net.tensors[i].name);
        if (tensor->role != PULSARRAY_OUTPUT)
            continue;
        for (row = 0; row < tensor->rows; row++)
            for (column = 0; column < tensor->columns; column++)
                printf("output %lld\n", (long long)pulsarray_get(machine, tensor, row, column));
    }
}

/* Write every input once more, element by element, over what pulsarray_get() says is there. */
static void rewrite_inputs(struct pulsarray *machine)
{
    size_t i;
    uint32_t row, column;
    for (i = 0; i < net.tensor_count; i++) {
        const struct pulsarray_tensor *tensor = &net.tensors[i];
        for (row = 0; tensor->role == PULSARRAY_INPUT && row < tensor->rows; row++)
            for (column = 0; column < tensor->columns; column++) {
                int64_t value = pulsarray_get(machine, tensor, row, column);
                pulsarray_set(machine, tensor, row, column, ~value);
                pulsarray_set(machine, tensor, row, column, value);
            }
    }
}

int main(int argc, char **argv)
{
    struct host host = {argv[1], argc > 4 ? atol(argv[4]) : 0};
    struct pulsarray_bus bus = {&host, bus_read, bus_write, to_device, from_device, wait_a_while};
    struct pulsarray machine;
    uint64_t address = strtoull(argv[2], NULL, 0);
    size_t bytes = strtoull(argv[3], NULL, 0);
    void *buffer = malloc(bytes);
    enum pulsarray_status status = failed(pulsarray_open(&machine, &bus));
    if (status == PULSARRAY_OK)
        status = failed(pulsarray_bind(&machine, buffer, bytes, address));
    if (status == PULSARRAY_OK)
        status = failed(pulsarray_load(&machine, &net));
    if (status == PULSARRAY_OK) {
        rewrite_inputs(&machine);
        status = failed(pulsarray_run(&machine, 0));
        if (status == PULSARRAY_STOPPED)
            printf("failed %s\n", pulsarray_error_name(machine.error_code));
    }
    if (status == PULSARRAY_OK) {
        print_outputs(&machine);
        printf("cycles %lu\n",
               (unsigned long)pulsarray_register(&machine, PULSARRAY_COUNTER_CYCLES));
    }
    return status != PULSARRAY_OK;
}

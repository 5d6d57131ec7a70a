/* Driver of Pulsarray: see pulsarray.h. */
#include "pulsarray.h"

#include "pulsarray_registers.h"

enum { PAGE = 4096, STOP_READS = 1000000 };

static uint32_t mmio_read(void *context, uint32_t address)
{
    return ((volatile uint32_t *)context)[address / 4];
}

static void mmio_write(void *context, uint32_t address, uint32_t value)
{
    ((volatile uint32_t *)context)[address / 4] = value;
}

struct pulsarray_bus pulsarray_mmio(volatile void *registers)
{
    struct pulsarray_bus bus = {0};
    bus.context = (void *)registers;
    bus.read = mmio_read;
    bus.write = mmio_write;
    return bus;
}

uint32_t pulsarray_register(const struct pulsarray *machine, uint32_t address)
{
    return machine->bus->read(machine->bus->context, address);
}

static void set_register(const struct pulsarray *machine, uint32_t address, uint32_t value)
{
    machine->bus->write(machine->bus->context, address, value);
}

enum pulsarray_status pulsarray_open(struct pulsarray *machine, const struct pulsarray_bus *bus)
{
    machine->bus = bus;
    machine->buffer = NULL;
    machine->buffer_bytes = 0;
    machine->program = NULL;
    machine->error_code = PULSARRAY_ERROR_NONE;
    machine->error_index = 0;
    if (pulsarray_register(machine, PULSARRAY_REGISTER_ID) != PULSARRAY_IDENTITY)
        return PULSARRAY_NO_DEVICE;
    if (pulsarray_register(machine, PULSARRAY_REGISTER_VERSION) != PULSARRAY_INTERFACE_VERSION)
        return PULSARRAY_OTHER_VERSION;
    return PULSARRAY_OK;
}

enum pulsarray_status pulsarray_bind(struct pulsarray *machine, void *buffer, size_t bytes,
                                     uint64_t address)
{
    uint32_t high = (uint32_t)(address >> 32);
    machine->buffer = NULL;
    machine->program = NULL;
    if (address % PAGE != 0)
        return PULSARRAY_MISALIGNED;
    set_register(machine, PULSARRAY_REGISTER_BASE_ADDRESS, (uint32_t)address);
    set_register(machine, PULSARRAY_REGISTER_BASE_ADDRESS_HIGH, high);
    if (high == 0) {
        if (bytes > ((uint64_t)1 << 32) - address)
            return PULSARRAY_OUT_OF_REACH;
    } else if (pulsarray_register(machine, PULSARRAY_REGISTER_BASE_ADDRESS_HIGH) != high) {
        return PULSARRAY_OUT_OF_REACH;
    }
    machine->buffer = buffer;
    machine->buffer_bytes = bytes;
    return PULSARRAY_OK;
}

/* Whether a program can run on the machine in the buffer that is bound. */
static enum pulsarray_status fits(const struct pulsarray *machine,
                                  const struct pulsarray_program *program)
{
    if (machine->buffer == NULL)
        return PULSARRAY_NO_BUFFER;
    if (pulsarray_register(machine, PULSARRAY_REGISTER_FINGERPRINT_LOW) != program->fingerprint_low
        || pulsarray_register(machine, PULSARRAY_REGISTER_FINGERPRINT_HIGH)
               != program->fingerprint_high)
        return PULSARRAY_OTHER_CONFIGURATION;
    if (machine->buffer_bytes < program->memory_bytes)
        return PULSARRAY_TOO_SMALL;
    return PULSARRAY_OK;
}

static void copy(unsigned char *restrict to, const unsigned char *restrict from, size_t bytes)
{
    size_t i;
    for (i = 0; i < bytes; i++)
        to[i] = from[i];
}

static void clear(unsigned char *to, size_t bytes)
{
    size_t i;
    for (i = 0; i < bytes; i++)
        to[i] = 0;
}

enum pulsarray_status pulsarray_load(struct pulsarray *machine,
                                     const struct pulsarray_program *program)
{
    enum pulsarray_status status = pulsarray_select(machine, program);
    if (status != PULSARRAY_OK)
        return status;
    copy(machine->buffer, program->image, program->image_bytes);
    clear(machine->buffer + program->image_bytes, program->memory_bytes - program->image_bytes);
    return PULSARRAY_OK;
}

enum pulsarray_status pulsarray_select(struct pulsarray *machine,
                                       const struct pulsarray_program *program)
{
    enum pulsarray_status status = fits(machine, program);
    machine->program = status == PULSARRAY_OK ? program : NULL;
    return status;
}

static int same(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

const struct pulsarray_tensor *pulsarray_tensor(const struct pulsarray *machine, const char *name)
{
    size_t i;
    for (i = 0; machine->program != NULL && i < machine->program->tensor_count; i++)
        if (same(machine->program->tensors[i].name, name))
            return &machine->program->tensors[i];
    return NULL;
}

static unsigned char *element(const struct pulsarray *machine,
                              const struct pulsarray_tensor *tensor, uint32_t row, uint32_t column)
{
    const struct pulsarray_program *program = machine->program;
    size_t word = (size_t)(column / program->dim) * tensor->rows + row;
    size_t place = word * program->lanes + column % program->dim;
    return machine->buffer + tensor->address + place * tensor->element_bytes;
}

void pulsarray_set(struct pulsarray *machine, const struct pulsarray_tensor *tensor, uint32_t row,
                   uint32_t column, int64_t value)
{
    unsigned char *bytes = element(machine, tensor, row, column);
    uint64_t bits = (uint64_t)value;
    uint32_t i;
    for (i = 0; i < tensor->element_bytes; i++, bits >>= 8)
        bytes[i] = (unsigned char)bits;
}

int64_t pulsarray_get(const struct pulsarray *machine, const struct pulsarray_tensor *tensor,
                      uint32_t row, uint32_t column)
{
    const unsigned char *bytes = element(machine, tensor, row, column);
    uint64_t sign = (uint64_t)1 << (8 * tensor->element_bytes - 1), value = 0;
    uint32_t i;
    for (i = tensor->element_bytes; i-- > 0;)
        value = value << 8 | bytes[i];
    return (int64_t)((value ^ sign) - sign);
}

enum pulsarray_status pulsarray_start(struct pulsarray *machine, uint32_t cycle_limit)
{
    const struct pulsarray_program *program = machine->program;
    const struct pulsarray_bus *bus = machine->bus;
    if (program == NULL)
        return PULSARRAY_NO_PROGRAM;
    if (bus->to_device != NULL)
        bus->to_device(bus->context, machine->buffer, program->memory_bytes);
    set_register(machine, PULSARRAY_REGISTER_PROGRAM_ADDRESS, program->code_address);
    set_register(machine, PULSARRAY_REGISTER_PROGRAM_UNITS, program->code_units);
    set_register(machine, PULSARRAY_REGISTER_CYCLE_LIMIT, cycle_limit);
    set_register(machine, PULSARRAY_REGISTER_CONTROL, PULSARRAY_CONTROL_START);
    return PULSARRAY_OK;
}

int pulsarray_running(const struct pulsarray *machine)
{
    uint32_t status = pulsarray_register(machine, PULSARRAY_REGISTER_STATUS);
    return (status & PULSARRAY_STATUS_RUNNING) != 0;
}

enum pulsarray_status pulsarray_finish(struct pulsarray *machine)
{
    const struct pulsarray_bus *bus = machine->bus;
    uint32_t status = pulsarray_register(machine, PULSARRAY_REGISTER_STATUS);
    machine->error_code = pulsarray_register(machine, PULSARRAY_REGISTER_ERROR_CODE);
    machine->error_index = pulsarray_register(machine, PULSARRAY_REGISTER_ERROR_INDEX);
    set_register(machine, PULSARRAY_REGISTER_CONTROL, PULSARRAY_CONTROL_CLEAR);
    if (bus->from_device != NULL)
        bus->from_device(bus->context, machine->buffer, machine->program->memory_bytes);
    return status & PULSARRAY_STATUS_ERROR ? PULSARRAY_STOPPED : PULSARRAY_OK;
}

enum pulsarray_status pulsarray_run(struct pulsarray *machine, uint32_t cycle_limit)
{
    const struct pulsarray_bus *bus = machine->bus;
    enum pulsarray_status status = pulsarray_start(machine, cycle_limit);
    if (status != PULSARRAY_OK)
        return status;
    while (pulsarray_running(machine))
        if (bus->wait != NULL && !bus->wait(bus->context)) {
            status = pulsarray_stop(machine);
            return status == PULSARRAY_OK ? PULSARRAY_GAVE_UP : status;
        }
    return pulsarray_finish(machine);
}

enum pulsarray_status pulsarray_stop(struct pulsarray *machine)
{
    uint32_t reads;
    set_register(machine, PULSARRAY_REGISTER_CONTROL, PULSARRAY_CONTROL_STOP);
    for (reads = 0; pulsarray_running(machine); reads++)
        if (reads == STOP_READS)
            return PULSARRAY_STUCK;
    set_register(machine, PULSARRAY_REGISTER_CONTROL, PULSARRAY_CONTROL_CLEAR);
    return PULSARRAY_OK;
}

void pulsarray_interrupt(const struct pulsarray *machine, int enabled)
{
    set_register(machine, PULSARRAY_REGISTER_INTERRUPT_ENABLE, enabled != 0);
}

const char *pulsarray_message(enum pulsarray_status status)
{
    switch (status) {
    case PULSARRAY_OK: return "done";
    case PULSARRAY_NO_DEVICE: return "no Pulsarray at this address";
    case PULSARRAY_OTHER_VERSION: return "the hardware has another programming interface";
    case PULSARRAY_OTHER_CONFIGURATION:
        return "the program is for another configuration than the hardware";
    case PULSARRAY_NO_BUFFER: return "no buffer is bound";
    case PULSARRAY_MISALIGNED: return "the buffer does not begin at a multiple of 4096";
    case PULSARRAY_TOO_SMALL: return "the buffer is smaller than the program's memory";
    case PULSARRAY_OUT_OF_REACH: return "the buffer ends beyond the hardware's addresses";
    case PULSARRAY_NO_PROGRAM: return "no program is loaded";
    case PULSARRAY_GAVE_UP: return "no end in time; the machine was stopped";
    case PULSARRAY_STOPPED: return "the machine was stopped by an error";
    case PULSARRAY_STUCK: return "the machine does not stop: memory leaves a burst unanswered";
    }
    return "unknown status";
}

const char *pulsarray_error_name(uint32_t error_code)
{
    static const char *const names[] = PULSARRAY_ERROR_NAMES;
    return error_code < sizeof names / sizeof names[0] ? names[error_code] : "unknown";
}

/* Runs a program through the driver on a RISC-V processor; prints its outputs and its cycles. */
#include "console.h"
#include "pulsarray.h"
#include "pulsarray_registers.h"

extern const struct pulsarray_program net;

static unsigned char buffer[BUFFER_BYTES] __attribute__((aligned(4096)));

static void print_outputs(const struct pulsarray *machine)
{
    for (size_t i = 0; i < net.tensor_count; i++) {
        const struct pulsarray_tensor *tensor = &net.tensors[i];
        for (uint32_t row = 0; tensor->role == PULSARRAY_OUTPUT && row < tensor->rows; row++)
            for (uint32_t column = 0; column < tensor->columns; column++)
                print_value("output", (unsigned)pulsarray_get(machine, tensor, row, column));
    }
}

int main(void)
{
    struct pulsarray_bus bus = pulsarray_mmio((void *)0x40000000);
    struct pulsarray machine;
    enum pulsarray_status status = pulsarray_open(&machine, &bus);
    if (status == PULSARRAY_OK)
        status = pulsarray_bind(&machine, buffer, sizeof buffer, (uintptr_t)buffer);
    if (status == PULSARRAY_OK)
        status = pulsarray_load(&machine, &net);
    if (status == PULSARRAY_OK)
        status = pulsarray_run(&machine, 0);
    print_outputs(&machine);
    print_value("cycles", pulsarray_register(&machine, PULSARRAY_COUNTER_CYCLES));
    return (int)status;
}

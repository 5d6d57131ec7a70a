/* Driver of Pulsarray for any processor: freestanding C99, no allocation, no operating system.
 *
 * A program lies in one buffer that both the processor and the machine reach. A run:
 *
 *     struct pulsarray_bus bus = pulsarray_mmio((void *)0x40000000);
 *     struct pulsarray machine;
 *     pulsarray_open(&machine, &bus);
 *     pulsarray_bind(&machine, buffer, sizeof buffer, (uintptr_t)buffer);
 *     pulsarray_load(&machine, &net);            // net: pulsarray export --c
 *     pulsarray_set(&machine, input, row, column, value);
 *     pulsarray_run(&machine, 0);
 *     pulsarray_get(&machine, output, row, column);
 *
 * Every function that can fail says how; pulsarray_message() puts it in words.
 */
#ifndef PULSARRAY_H
#define PULSARRAY_H

#include <stddef.h>
#include <stdint.h>

enum pulsarray_status {
    PULSARRAY_OK,
    PULSARRAY_NO_DEVICE,           /* ID is not Pulsarray's */
    PULSARRAY_OTHER_VERSION,       /* the programming interface is another one */
    PULSARRAY_OTHER_CONFIGURATION, /* the program is for another configuration */
    PULSARRAY_NO_BUFFER,           /* pulsarray_bind() was not called */
    PULSARRAY_MISALIGNED,          /* the buffer does not begin at a multiple of 4096 */
    PULSARRAY_TOO_SMALL,           /* the buffer is smaller than the program's memory */
    PULSARRAY_OUT_OF_REACH,        /* the buffer ends beyond the machine's addresses */
    PULSARRAY_NO_PROGRAM,          /* no program was loaded, or the last one could not be */
    PULSARRAY_GAVE_UP,             /* the bus's wait() gave up; the machine was stopped */
    PULSARRAY_STOPPED,             /* by an error: error_code and error_index say which, where */
    PULSARRAY_STUCK,               /* does not stop: memory leaves a burst unanswered */
};

enum pulsarray_role { PULSARRAY_INPUT, PULSARRAY_OUTPUT, PULSARRAY_STATE };

/* A matrix in the buffer, in blocks of as many columns as the machine has. */
struct pulsarray_tensor {
    const char *name;
    enum pulsarray_role role;
    uint32_t address; /* of its first byte, from the beginning of the buffer */
    uint32_t rows, columns;
    uint32_t element_bytes; /* little-endian, signed */
    double scale;           /* real value = (element - zero_point) * scale */
    int32_t zero_point;
};

/* What `pulsarray export --c` defines. Memory beyond the image is zero. */
struct pulsarray_program {
    uint32_t fingerprint_low, fingerprint_high;
    uint32_t dim, lanes; /* columns of a block, and elements that it takes in memory */
    uint32_t code_address, code_units;
    uint32_t memory_bytes;
    const unsigned char *image;
    size_t image_bytes;
    const struct pulsarray_tensor *tensors;
    size_t tensor_count;
};

/* How the machine is reached. The last three may be null: memory is coherent; the driver polls. */
struct pulsarray_bus {
    void *context;
    uint32_t (*read)(void *context, uint32_t address);
    void (*write)(void *context, uint32_t address, uint32_t value);
    void (*to_device)(void *context, void *buffer, size_t bytes);
    void (*from_device)(void *context, void *buffer, size_t bytes);
    int (*wait)(void *context); /* for the interrupt, or a while; 0 to give up */
};

struct pulsarray {
    const struct pulsarray_bus *bus;
    unsigned char *buffer;
    size_t buffer_bytes;
    const struct pulsarray_program *program;
    uint32_t error_code, error_index; /* after PULSARRAY_STOPPED */
};

/* A bus whose registers are mapped into memory. */
struct pulsarray_bus pulsarray_mmio(volatile void *registers);

/* Look whether there is a machine. */
enum pulsarray_status pulsarray_open(struct pulsarray *machine, const struct pulsarray_bus *bus);

/* Use a buffer, which the machine sees at `address`. */
enum pulsarray_status pulsarray_bind(struct pulsarray *machine, void *buffer, size_t bytes,
                                     uint64_t address);

/* Write a program's image into the buffer. */
enum pulsarray_status pulsarray_load(struct pulsarray *machine,
                                     const struct pulsarray_program *program);

/* Go on with another program of the same image, such as a network's outputs after a training step:
 * the buffer stays as it is. */
enum pulsarray_status pulsarray_select(struct pulsarray *machine,
                                       const struct pulsarray_program *program);

/* A tensor of the program by name; null if it has none of that name. */
const struct pulsarray_tensor *pulsarray_tensor(const struct pulsarray *machine, const char *name);

/* An element of a tensor. */
void pulsarray_set(struct pulsarray *machine, const struct pulsarray_tensor *tensor, uint32_t row,
                   uint32_t column, int64_t value);
int64_t pulsarray_get(const struct pulsarray *machine, const struct pulsarray_tensor *tensor,
                      uint32_t row, uint32_t column);

/* Run the program to its end; it stops itself after cycle_limit cycles, 0 for never. */
enum pulsarray_status pulsarray_run(struct pulsarray *machine, uint32_t cycle_limit);

/* The same in parts, for processors that do something else meanwhile. */
enum pulsarray_status pulsarray_start(struct pulsarray *machine, uint32_t cycle_limit);
int pulsarray_running(const struct pulsarray *machine);
enum pulsarray_status pulsarray_finish(struct pulsarray *machine);

/* Stop a program in mid-run, and wait until its bursts have ended. */
enum pulsarray_status pulsarray_stop(struct pulsarray *machine);

/* Let done and errors raise the interrupt, or not. */
void pulsarray_interrupt(const struct pulsarray *machine, int enabled);

/* A register, for instance PULSARRAY_COUNTER_CYCLES. */
uint32_t pulsarray_register(const struct pulsarray *machine, uint32_t address);

/* What a status, or an error code of the machine, means. */
const char *pulsarray_message(enum pulsarray_status status);
const char *pulsarray_error_name(uint32_t error_code);

#endif

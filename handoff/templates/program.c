/* {{ program.network or "A program" }}, batch {{ program.batch }}, for configuration {{ config.fingerprint }}. */
#include "pulsarray.h"

static const unsigned char image[] = {
{% for row in rows %}
    {{ row }}
{% endfor %}
};

static const struct pulsarray_tensor tensors[] = {
{% for tensor in program.tensors if tensor.role in ("input", "output", "state") %}
    {
        .name = "{{ tensor.name | replace("\\", "\\\\") | replace('"', '\\"') }}",
        .role = PULSARRAY_{{ tensor.role | upper }},
        .address = 0x{{ "%x" | format(tensor.address) }}u,
        .rows = {{ tensor.rows }},
        .columns = {{ tensor.columns }},
        .element_bytes = {{ element_bytes[tensor.element] }},
        .scale = {{ tensor.scale }},
        .zero_point = {{ tensor.zero_point }},
    },
{% endfor %}
};

const struct pulsarray_program {{ name }} = {
    .fingerprint_low = 0x{{ config.fingerprint[8:] }}u,
    .fingerprint_high = 0x{{ config.fingerprint[:8] }}u,
    .dim = {{ config.dim }},
    .lanes = {{ config.word_bytes // config.operand_bytes }},
    .code_address = 0x{{ "%x" | format(program.code_address) }}u,
    .code_units = {{ units }},
    .memory_bytes = {{ memory_bytes }},
    .image = image,
    .image_bytes = sizeof image,
    .tensors = tensors,
    .tensor_count = sizeof tensors / sizeof tensors[0],
};

/* Registers of Pulsarray, and the parameters of configuration {{ config.fingerprint }}. */
#ifndef PULSARRAY_REGISTERS_H
#define PULSARRAY_REGISTERS_H

/* Values of ID and VERSION, and the configuration's fingerprint. */
#define PULSARRAY_IDENTITY 0x{{ "%08x" | format(identity) }}u
#define PULSARRAY_INTERFACE_VERSION {{ version }}u
#define PULSARRAY_FINGERPRINT_LOW 0x{{ config.fingerprint[8:] }}u
#define PULSARRAY_FINGERPRINT_HIGH 0x{{ config.fingerprint[:8] }}u

/* Byte addresses of registers. */
{% for register in registers %}
#define PULSARRAY_REGISTER_{{ register.name }} 0x{{ "%03x" | format(register.address) }}u
{% endfor %}

{% for name, flags in bits.items() %}
/* Bits of {{ name }}. */
{% for bit in flags %}
#define PULSARRAY_{{ name }}_{{ bit.name }} {{ bit.value }}u
{% endfor %}

{% endfor %}
/* Values of ERROR_CODE. */
{% for code in errors %}
#define PULSARRAY_ERROR_{{ code.name }} {{ code.value }}u
{% endfor %}

#define PULSARRAY_ERROR_NAMES { \
{% for code in errors %}
    "{{ code.name }}"{{ ", \\" if not loop.last else " }" }}
{% endfor %}

/* Performance counters: how many, and the byte address of each. */
#define PULSARRAY_COUNTERS {{ counters | length }}u
{% for name, address in counters %}
#define PULSARRAY_COUNTER_{{ name | upper }} 0x{{ "%03x" | format(address) }}u
{% endfor %}

/* Parameters of the machine. */
{% for name, value in parameters.items() %}
#define PULSARRAY_CONFIG_{{ name | upper }} {{ value }}
{% endfor %}

#endif

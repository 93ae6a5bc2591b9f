// SPDX-License-Identifier: Apache-2.0
#include "broker/care/document.h"

#include <string.h>

/* A state that is not known here is that of a run which somebody else may go on with. */
bool document_is_open(const struct value *document)
{
    static const char *const over[] = {"succeeded", "failed", "cancelled"};
    const struct value *state = value_get(document, "state");
    for (size_t i = 0; state && i < sizeof over / sizeof *over; i++)
        if (value_is_text(state, over[i]))
            return false;
    return true;
}

int64_t document_time_us(const struct value *document)
{
    const struct value *ended = value_get(document, "ended_us"),
                       *begun = value_get(document, "begun_us");
    if (ended && ended->type == VALUE_INT)
        return ended->integer;
    return begun && begun->type == VALUE_INT ? begun->integer : 0;
}

bool document_has_label(const struct value *document, const char *label)
{
    const struct value *labels = value_get(document, "labels");
    size_t key_bytes = strcspn(label, "=");
    for (uint32_t i = 0; labels && labels->type == VALUE_MAP && i < labels->count; i++) {
        const struct value *key = &labels->items[2 * i], *value = &labels->items[2 * i + 1];
        if (key->count == key_bytes && memcmp(key->text, label, key_bytes) == 0)
            return value_is_text(value, label + key_bytes + (label[key_bytes] == '='));
    }
    return false;
}

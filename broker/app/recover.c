/* Everything that the journal in the store has, back into Redis: opening the state does it. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/local.h"
#include "common/base/doc.h"

enum status local_recover(struct app *base, struct arena *arena, struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    struct state_options options = {.url = app->state_url,
                                    .mode = STATE_WRITE,
                                    .journal_store = app->store_url,
                                    .recovers = true};
    struct state_recovered recovered;
    if (strncmp(app->state_url, "redis", 5) != 0)
        return err_set(err, E_UNSUPPORTED,
                       "%s: this state is a folder with its own journal, from which its index is "
                       "made again by itself; recover is for Redis (--state redis://…)",
                       app->state_url);
    TRY(state_open(&options, &app->state, err));
    state_recovered(app->state, &recovered);
    *out = doc_map();
    doc_put(arena, out, "segments", value_int((int64_t)recovered.segments));
    doc_put(arena, out, "records", value_int((int64_t)recovered.records));
    doc_put(arena, out, "refused", value_int((int64_t)recovered.refused));
    doc_put(arena, out, "damaged", value_int((int64_t)recovered.damaged));
    return OK;
}

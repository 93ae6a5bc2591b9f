/* Provenance of much. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/app.h"
#include "common/crypto/hash.h"
#include "common/crypto/sign.h"
#include "proto/codec.h"
#include "tests/unit/broker/state/commit.h"
#include "tests/unit/common/temp.h"

enum { LINKS = 20000, IN_A_FRAME = 200 };

static struct err err;

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) != OK)                                                                          \
            fail_msg("%s", err.text);                                                              \
    } while (0)

/* What link `n` made; link 0 is a source. */
static struct id made_by(uint32_t n)
{
    return test_id(LINKS + n);
}

/* It copies what the one before it made. */
static void add_link(struct commit *commit, uint32_t n)
{
    uint8_t action[256];
    struct id task = test_id(n), input = made_by(n - 1);
    struct mp_writer w = mp_writer(action, sizeof action);
    mp_write_map(&w, 4);
    mp_write_text(&w, "inputs");
    mp_write_map(&w, 1);
    mp_write_text(&w, "x");
    mp_write_array(&w, 2);
    mp_write_text(&w, "blob");
    mp_write_id(&w, &input);
    mp_write_text(&w, "kind");
    mp_write_text(&w, "exec");
    mp_write_text(&w, "outputs");
    mp_write_array(&w, 1);
    mp_write_text(&w, "o");
    mp_write_text(&w, "version");
    mp_write_text(&w, "1");
    const struct record_output output = {"o", 1, {made_by(n), 1, false}};
    const struct record record = {.action = action,
                                  .action_bytes = w.need,
                                  .attempt = 1,
                                  .output_count = 1,
                                  .worker = "w",
                                  .worker_bytes = 1};
    commit_made(commit, &task, &record, &output);
}

static void make_chain(const char *folder)
{
    const struct state_options options = {.url = folder, .mode = STATE_WRITE};
    static struct commit commit;
    struct state *state;
    MUST(state_open(&options, &state, &err));
    AUTO(signer_free) struct signer *signer = signer_new();
    commit_begin(&commit);
    commit.signer = signer;
    for (uint32_t n = 1; n <= LINKS; n++) {
        add_link(&commit, n);
        if (commit.record_count == IN_A_FRAME || n == LINKS)
            commit_now(&commit, state);
    }
    commit_fini(&commit);
    state_close(state);
}

static void a_chain_of_20000_links_is_attested_to_its_source(void **context)
{
    struct temp *temp = *context;
    const struct app_options options = {
        .home = temp->path, .state = temp_at(temp, "state"), .wake_fd = -1};
    struct app *app;
    struct value value;
    struct id last = made_by(LINKS);
    char hex[ID_HEX_BYTES];
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(buf_fini) struct buf lines = buf_init(0);
    uint32_t count = 0;
    make_chain(options.state);
    MUST(app_open(&options, &app, &err));
    MUST(app_keys_init(app, &arena, &value, &err));
    MUST(app_attest(app, id_hex(&last, hex), true, &lines, &err));
    for (size_t i = 0; i < lines.count; i++)
        count += lines.bytes[i] == '\n';
    assert_int_equal(count, LINKS);
    app_close(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_chain_of_20000_links_is_attested_to_its_source,
                                        temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What an implementation of the application interface provides (app.h says what each does); seen by
 * broker/app.c and the implementations alone. A function that is NULL is E_UNSUPPORTED, or answers
 * "nothing". */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app.h"

struct app_backend {
    const char *name; /* for messages: "here", "a served broker" */
    void (*close)(struct app *app);
    const char *(*diagnostics)(struct app *app);
    enum status (*listen)(struct app *app, struct err *err);
    enum status (*serve)(struct app *app, const char *http, struct err *err);
    void (*lead)(const struct app *app, struct app_lead *out);
    void (*leave)(struct app *app);
    bool (*is_idle)(const struct app *app);
    enum status (*submit)(struct app *app, const struct app_request *request,
                          char run[APP_RUN_ID_BYTES], struct err *err);
    enum status (*uploads)(struct app *app, const struct value *wanted, struct arena *arena,
                           struct value *out, struct err *err);
    bool (*joining)(const struct app *app, struct buf *out);
    enum status (*turn)(struct app *app, ms_t max_ms, struct err *err);
    bool (*run_is_over)(struct app *app, const char *run);
    enum status (*stop)(struct app *app, const char *run, bool kill, char out[APP_RUN_ID_BYTES],
                        struct err *err);
    enum status (*retry)(struct app *app, const char *run, char out[APP_RUN_ID_BYTES],
                         struct err *err);
    enum status (*resubmit)(struct app *app, const char *run, const struct app_request *changes,
                            char out[APP_RUN_ID_BYTES], struct err *err);
    enum status (*watch)(struct app *app, const char *run, struct err *err);
    uint32_t (*step_count)(const struct app *app, const char *run);
    void (*step_progress)(const struct app *app, const char *run, uint32_t step,
                          struct app_step_progress *out);
    bool (*next_event)(struct app *app, const char *run, uint64_t after, struct app_event *out);
    uint64_t (*last_event)(const struct app *app);
    uint64_t (*last_order)(const struct app *app);
    bool (*is_committed)(const struct app *app, uint64_t order);
    enum status (*result)(struct app *app, const char *run, bool full, struct arena *arena,
                          struct value *out, struct err *err);
    enum status (*plan)(struct app *app, const struct app_request *request, struct arena *arena,
                        struct value *out, struct err *err);
    enum status (*explain)(struct app *app, const struct app_request *request, const char *task,
                           struct arena *arena, struct value *out, struct err *err);
    enum status (*graph)(struct app *app, const struct app_request *request,
                         enum app_graph_format format, bool all_tasks, struct buf *out,
                         struct err *err);
    enum status (*lint)(struct app *app, const struct app_request *request, struct err *err);
    enum status (*list)(struct app *app, const struct app_filter *filter, struct arena *arena,
                        struct value *out, struct err *err);
    enum status (*get)(struct app *app, const char *ref, bool spec, struct arena *arena,
                       struct value *out, struct err *err);
    enum status (*lineage)(struct app *app, const char *ref, struct arena *arena, struct value *out,
                           struct err *err);
    enum status (*artifact)(struct app *app, const char *ref, struct arena *arena,
                            struct value *out, struct err *err);
    enum status (*export)(struct app *app, const char *ref, const char *path, struct buf *out,
                          struct err *err);
    enum status (*urls)(struct app *app, const char *ref, uint32_t seconds, struct arena *arena,
                        struct value *out, struct err *err);
    enum status (*verify)(struct app *app, const char *ref, const struct app_verify *options,
                          struct arena *arena, struct value *out, struct err *err);
    enum status (*proof)(struct app *app, const char *task, struct app_proof *out, struct err *err);
    enum status (*attest)(struct app *app, const char *ref, bool all, struct buf *out,
                          struct err *err);
    enum status (*verify_attestation)(struct app *app, const char *file, const char *artifact,
                                      const char *key, struct arena *arena, struct value *out,
                                      struct err *err);
    enum status (*gc)(struct app *app, const struct app_gc *options, struct err *err);
    enum status (*fsck)(struct app *app, const struct app_fsck *options, struct err *err);
    enum status (*care_result)(struct app *app, struct arena *arena, struct value *out,
                               bool *is_done, struct err *err);
    enum status (*care_part)(struct app *app, enum app_care_part part, const struct app_gc *gc,
                             const struct app_fsck *fsck, int plan_fd, struct arena *arena,
                             struct value *out, struct err *err);
    enum status (*logs)(struct app *app, const char *task, struct app_log *at, struct buf *out,
                        struct err *err);
    enum status (*workers)(struct app *app, struct arena *arena, struct value *out,
                           struct err *err);
    enum status (*load)(struct app *app, struct arena *arena, struct value *out, struct err *err);
    enum status (*recover)(struct app *app, struct arena *arena, struct value *out,
                           struct err *err);
    enum status (*doctor)(struct app *app, struct arena *arena, struct value *out, struct err *err);
    enum status (*keys_init)(struct app *app, struct arena *arena, struct value *out,
                             struct err *err);
    enum status (*keys_add)(struct app *app, const struct app_new_key *key, struct arena *arena,
                            struct value *out, struct err *err);
    enum status (*keys_list)(struct app *app, struct arena *arena, struct value *out,
                             struct err *err);
    enum status (*keys_revoke)(struct app *app, const char *name_or_key, struct arena *arena,
                               struct value *out, struct err *err);
};

/* Every implementation's struct begins with this. */
struct app {
    const struct app_backend *backend;
};

/* local.c */
MUST_USE enum status app_open_local(const struct app_options *options, struct app **out,
                                    struct err *err);

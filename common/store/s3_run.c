// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/clock.h"
#include "common/cores.h"
#include "common/crypto/sha256.h"
#include "common/log.h"
#include "common/net/times.h"
#include "common/store/s3.h"
#include "common/store/s3_refusal.h"
#include "common/text/xml.h"
#include "proto/limits.h"

enum {
    BACKOFF_MS = 50, /* before the second try, at most; doubles */
    BACKOFF_MAX_MS = 5000,
    SLOW_BYTES = 1000, /* a second: slower than any link that is of use */
    SLOW_SECONDS = 10,
    FILE_SECONDS = 60, /* a busy server may be so long at writing a part down */
    WORK_BYTES = 1,    /* a second, of who is busy for us: a space now and then, or nothing */
    WORK_SECONDS = 300,
    ASKED_SECONDS_MAX = 20, /* of what a server asks us to wait: it may be right again sooner */
    TURN_MS = 1000,
    TOLD_MS = 2000, /* who waits for less hears of it by the failure */
};

/* ---- one try ---- */

void s3_put_path(const struct s3 *s3, const char *key, struct buf *out)
{
    buf_format(out, "%s%s", s3->config.path, key);
}

static void write_url(const struct s3 *s3, const struct sigv4_request *request, struct buf *out)
{
    AUTO(buf_fini) struct buf query = buf_init(0);
    buf_put_text(out, s3->config.origin);
    sigv4_path(request->path, out);
    sigv4_query(request, &query);
    if (query.count)
        buf_format(out, "?%s", buf_text(&query));
}

static void hash_payload(const struct s3_op *op, char hex[ID_HEX_BYTES])
{
    struct id digest;
    sha256_bytes(op->body_bytes ? op->body : "", (size_t)op->body_bytes, &digest);
    id_hex(&digest, hex);
}

static void send_request(struct s3 *s3, struct s3_op *op, const struct sigv4_request *request,
                         const char *authorization)
{
    AUTO(buf_fini) struct buf url = buf_init(0);
    char when[SIGV4_TIME_BYTES];
    sigv4_time(request->time_s, when);
    struct http_header headers[8];
    size_t count = 0;
    for (size_t i = 0; i < request->header_count; i++)
        headers[count++] =
            (struct http_header){request->headers[i].name, request->headers[i].value};
    headers[count++] = (struct http_header){"X-Amz-Date", when};
    headers[count++] = (struct http_header){"Authorization", authorization};
    if (request->keys.token && *request->keys.token)
        headers[count++] = (struct http_header){"X-Amz-Security-Token", request->keys.token};
    ASSERT(count <= sizeof headers / sizeof *headers);
    write_url(s3, request, &url);
    const struct http_request http = {.method = op->method,
                                      .url = buf_text(&url),
                                      .headers = headers,
                                      .header_count = count,
                                      .body = op->body,
                                      .body_bytes = op->body_bytes,
                                      .read = op->read,
                                      .write = op->write,
                                      .out = op->out,
                                      .context = op->context,
                                      .slow_bytes = op->takes_its_time ? WORK_BYTES : SLOW_BYTES,
                                      .slow_seconds = op->takes_its_time ? WORK_SECONDS
                                                      : op->read         ? FILE_SECONDS
                                                                         : SLOW_SECONDS};
    http_start(s3->http, &http, op, &op->call);
}

/* When a server that was never heard of does not answer, its address is wrong more often than it is
 * down. */
static uint32_t patience(const struct s3 *s3)
{
    return s3->has_answered || s3->patience_ms < STORE_FIRST_PATIENCE_MS ? s3->patience_ms
                                                                         : STORE_FIRST_PATIENCE_MS;
}

/* False: its patience is over. The server may have asked us to wait. */
static bool may_retry(struct s3 *s3, struct s3_op *op, uint32_t asked_s, const struct err *why)
{
    char quoted[2 * ERR_TEXT_BYTES];
    ms_t now = clock_ms();
    if (!op->tries++)
        op->failed_at = now;
    if (now - op->failed_at >= (ms_t)patience(s3))
        return false;
    uint32_t most = op->tries < 8 ? (uint32_t)BACKOFF_MS << op->tries : BACKOFF_MAX_MS;
    op->retry_at = now +
                   (ms_t)rng_below(&s3->rng, (most < BACKOFF_MAX_MS ? most : BACKOFF_MAX_MS) + 1) +
                   1000 * (ms_t)(asked_s < ASKED_SECONDS_MAX ? asked_s : ASKED_SECONDS_MAX);
    if (op->tries > 3 && !s3->is_waiting && patience(s3) >= TOLD_MS) {
        log_event(LOG_WARN, "store.waiting", "store=%s reason=%s", s3->base.url,
                  log_quote(why->text, quoted, sizeof quoted));
        s3->is_waiting = true;
    }
    return true;
}

/* An operation whose keys can't be had now has no call afterwards, and its retry_at. */
static enum status start(struct s3 *s3, struct s3_op *op, struct err *err)
{
    if (!op->has_begun && op->out)
        op->out_before = op->out->count;
    op->has_begun = true;
    if (op->out)
        op->out->count = op->out_before;
    if (op->prepare)
        op->prepare(op);
    AUTO(buf_fini) struct buf path = buf_init(0), authorization = buf_init(0);
    struct sigv4_request request = {.method = op->method,
                                    .host = s3->config.host,
                                    .query = op->query,
                                    .query_count = op->query_count,
                                    .payload = SIGV4_UNSIGNED,
                                    .region = s3->config.region,
                                    .service = "s3",
                                    .time_s = clock_epoch_us() / 1000000};
    struct sigv4_pair headers[4];
    char hex[ID_HEX_BYTES];
    if (!op->read && op->body_bytes <= S3_SIGNED_BYTES) {
        hash_payload(op, hex);
        request.payload = hex;
    }
    memcpy(headers, op->headers, sizeof op->headers);
    headers[op->header_count] = (struct sigv4_pair){"X-Amz-Content-Sha256", request.payload};
    request.headers = headers;
    request.header_count = op->header_count + 1;
    s3_put_path(s3, op->key, &path);
    request.path = buf_text(&path);
    struct err why;
    enum status status = aws_credentials_get(s3->credentials, &request.keys, &why);
    if (status == E_DENIED && s3->knows_bucket) /* there were some, and will be again */
        status = E_UNREACHABLE;
    if (status == E_UNREACHABLE && may_retry(s3, op, 0, &why))
        return OK;
    if (status != OK)
        return err_set(err, status, "store %s: %s", s3->base.url, why.text);
    op->region = request.region;
    sigv4_sign(&request, &authorization);
    send_request(s3, op, &request, buf_text(&authorization));
    return OK;
}

/* ---- its end ---- */

static void take_answer(struct s3 *s3, struct s3_op *op)
{
    const struct http_call *call = op->call;
    const char *etag = http_header(call, "etag"), *bytes = http_header(call, "content-length"),
               *modified = http_header(call, "last-modified");
    op->status = http_status(call);
    op->etag[0] = 0;
    if (etag && strlen(etag) < sizeof op->etag)
        memcpy(op->etag, etag, strlen(etag) + 1);
    op->bytes = bytes ? strtoull(bytes, NULL, 10) : 0;
    if (!modified || !times_parse_http(modified, &op->modified_s))
        op->modified_s = 0;
    s3->has_answered = true;
    if (s3->is_waiting)
        log_event(LOG_WARN, "store.back", "store=%s", s3->base.url);
    s3->is_waiting = false;
}

static void read_answer(struct s3_op *op, struct s3_answer_error *answer, struct err *fault)
{
    static const char *const reads[] = {"GET", "HEAD"};
    answer->fault = http_fault(op->call);
    answer->status = http_status(op->call);
    (void)!http_result(op->call, fault);
    answer->fault_text = fault->text;
    answer->is_write = strcmp(op->method, reads[0]) != 0 && strcmp(op->method, reads[1]) != 0;
    s3_read_error(http_error_body(op->call), answer);
    const char *region = http_header(op->call, "x-amz-bucket-region"),
               *date = http_header(op->call, "date"), *after = http_header(op->call, "retry-after");
    int64_t server_s;
    if (region && !answer->region[0] && strlen(region) < sizeof answer->region)
        memcpy(answer->region, region, strlen(region) + 1);
    if (date && times_parse_http(date, &server_s))
        answer->skew_s = clock_epoch_us() / 1000000 - server_s;
    if (after) /* a date, which it may be as well, counts as none */
        answer->retry_after_s = (uint32_t)strtoul(after, NULL, 10);
}

/* A HEAD's refusal has no body. The same as a GET of one byte says why. */
static bool wants_explanation(const struct s3 *s3, const struct s3_op *op)
{
    int status = http_status(op->call);
    return strcmp(op->method, "HEAD") == 0 && http_fault(op->call) == HTTP_FINE &&
           (status == 400 || status == 301 || status == 403 ||
            (status == 404 && !s3->knows_bucket));
}

static void ask_for_explanation(struct s3_op *op)
{
    op->asks_why = true;
    op->method = "GET";
    op->may_be_empty = true;
    s3_header(op, "Range", "bytes=0-0");
}

/* It was told: back to what is to be known. */
static void ask_as_before(struct s3_op *op)
{
    op->asks_why = false;
    op->method = "HEAD";
    op->may_be_empty = false;
    op->header_count--;
}

/* With fresh keys at once, if there are any. What the store did before it will do again for whoever
 * is given new ones: that is waited for, as a server that is away. */
static bool has_other_keys(struct s3 *s3, struct s3_op *op, struct err *why)
{
    bool is_first = !op->has_renewed, may_have = aws_credentials_expire(s3->credentials);
    op->has_renewed = true;
    if (is_first && may_have)
        return true;
    if (!s3->knows_bucket)
        return false;
    why->code = E_UNREACHABLE;
    return may_retry(s3, op, 0, why);
}

/* What s3_judge says is done. True: the operation goes on, at retry_at. */
static bool goes_on(struct s3 *s3, struct s3_op *op, enum s3_verdict verdict,
                    const struct s3_answer_error *answer, struct err *why)
{
    char quoted[2 * ERR_TEXT_BYTES];
    op->retry_at = 0;
    switch (verdict) {
    case S3_RETRY: return may_retry(s3, op, answer->retry_after_s, why);
    case S3_OTHER_REGION:
        if (op->has_moved)
            return false;
        op->has_moved = true;
        snprintf(s3->advice, sizeof s3->advice, "%s", why->text);
        log_event(LOG_WARN, "store.region", "store=%s region=%s mend=%s", s3->base.url,
                  answer->region, log_quote(s3->config.region_setting, quoted, sizeof quoted));
        return s3_config_move(&s3->config, answer->region, why) == OK;
    case S3_OTHER_KEYS: return has_other_keys(s3, op, why);
    default: /* another operation found the right region while this one was under way */
        return strcmp(op->region, s3->config.region) != 0 && !op->has_moved &&
               (op->has_moved = true);
    }
}

/* A refusal that came with status 200. */
static bool has_failed_late(const struct s3_op *op, struct s3_answer_error *answer)
{
    if (op->tells_late)
        s3_read_error(op->out, answer);
    return answer->code[0];
}

/* How the call ended. `*is_over`: the operation has ended, too. */
static enum status settle(struct s3 *s3, struct s3_op *op, bool *is_over, struct err *err)
{
    struct http_call *call = op->call;
    *is_over = true;
    int status = http_status(call);
    bool is_fine = http_fault(call) == HTTP_FINE;
    struct s3_answer_error answer = {.status = 0};
    if (is_fine && status / 100 == 2 && !has_failed_late(op, &answer)) {
        take_answer(s3, op);
        s3->knows_bucket = true;
        return OK;
    }
    if (http_fault(call) == HTTP_STOPPED)
        return http_result(call, err);
    if (wants_explanation(s3, op)) {
        ask_for_explanation(op);
        op->retry_at = 0;
        *is_over = false;
        return OK;
    }
    struct err why = {.text = ""}, fault = {.text = ""};
    struct sigv4_keys keys = {.id = ""};
    read_answer(op, &answer, &fault);
    s3->has_answered |= answer.code[0] != 0; /* busy, maybe, but it is S3 */
    (void)!aws_credentials_get(s3->credentials, &keys, NULL);
    const struct s3_signer signer = {keys.id ? keys.id : "",
                                     aws_credentials_source(s3->credentials)};
    enum s3_verdict verdict = s3_judge(&answer, &s3->config, &signer, &why);
    bool is_absent =
        verdict == S3_ABSENT || (is_fine && status == 404 && strcmp(op->method, "HEAD") == 0);
    if ((is_fine && status == 416 && op->may_be_empty) || (is_absent && op->may_be_absent)) {
        take_answer(s3, op);
        s3->knows_bucket = true;
        op->is_absent = is_absent;
        return OK;
    }
    if (goes_on(s3, op, verdict, &answer, &why)) {
        if (op->asks_why)
            ask_as_before(op);
        *is_over = false;
        return OK;
    }
    err_set(err, why.code, "store %s: %s", s3->base.url, why.text);
    return why.code;
}

enum status s3_read_xml(const struct s3 *s3, const struct buf *answer, xml_visit *visit,
                        void *context, struct err *err)
{
    AUTO(buf_fini) struct buf name = buf_init(0);
    buf_format(&name, "store %s", s3->base.url);
    enum status status =
        xml_walk(buf_text(&name), (const char *)answer->bytes, answer->count, visit, context, err);
    if (status != E_CORRUPT)
        return status;
    if (err)
        err->code = E_PROTOCOL;
    return E_PROTOCOL;
}

/* ---- many ---- */

struct running {
    struct s3 *s3;
    const struct s3_batch *batch;
    struct s3_op *ops[S3_PARALLEL];
    size_t count;
    bool lacks_keys; /* none is started then but the one that asks for them again */
};

static void drop(struct running *running, const struct s3_op *op)
{
    for (size_t i = 0; i < running->count; i++)
        if (running->ops[i] == op)
            running->ops[i] = running->ops[--running->count];
}

static void give_up(struct running *running)
{
    for (size_t i = 0; i < running->count; i++)
        if (running->ops[i]->call) {
            http_end(running->ops[i]->call);
            running->ops[i]->call = NULL;
        }
}

static enum status begin(struct running *running, struct s3_op *op, struct err *err)
{
    TRY(start(running->s3, op, err));
    running->lacks_keys = !op->call;
    return OK;
}

static enum status take_new(struct running *running, struct err *err)
{
    const struct s3_batch *batch = running->batch;
    while (running->count < batch->parallel && !running->lacks_keys) {
        struct s3_op *op = batch->next(batch->context);
        if (!op)
            return OK;
        running->ops[running->count++] = op;
        TRY(begin(running, op, err));
    }
    return OK;
}

/* Starts those again whose time has come; how long the others still wait. */
static enum status start_again(struct running *running, int *wait_ms, struct err *err)
{
    ms_t now = clock_ms();
    *wait_ms = TURN_MS;
    for (size_t i = 0; i < running->count; i++) {
        struct s3_op *op = running->ops[i];
        if (op->call)
            continue;
        if (op->retry_at <= now)
            TRY(begin(running, op, err));
        if (!op->call && op->retry_at - now < *wait_ms)
            *wait_ms = (int)(op->retry_at - now);
    }
    return OK;
}

static enum status take_ended(struct running *running, struct http_call *call, struct err *err)
{
    struct s3_op *op = http_owner(call);
    bool is_over;
    enum status status = settle(running->s3, op, &is_over, err);
    op->call = NULL;
    http_end(call);
    if (status != OK || !is_over)
        return status;
    drop(running, op);
    return running->batch->done ? running->batch->done(running->batch->context, op, err) : OK;
}

static enum status turn(struct running *running, struct err *err)
{
    int wait_ms;
    TRY(start_again(running, &wait_ms, err));
    if (http_running(running->s3->http)) {
        struct http_call *call = http_next(running->s3->http, wait_ms);
        for (; call; call = http_next(running->s3->http, 0))
            TRY(take_ended(running, call, err));
    } else {
        clock_sleep_ms(wait_ms);
    }
    return running->batch->meanwhile ? running->batch->meanwhile(running->batch->context, err) : OK;
}

enum status s3_run(struct s3 *s3, const struct s3_batch *batch, struct err *err)
{
    ASSERT(batch->parallel <= S3_PARALLEL);
    struct running running = {.s3 = s3, .batch = batch};
    enum status status = take_new(&running, err);
    while (status == OK && running.count) {
        status = turn(&running, err);
        if (status == OK)
            status = take_new(&running, err);
    }
    give_up(&running);
    return status;
}

size_t s3_parallel_large(void)
{
    size_t cores = cores_count();
    return cores < 2 ? 2 : cores < S3_PARALLEL_LARGE ? cores : S3_PARALLEL_LARGE;
}

static struct s3_op *next_of_one(void *context)
{
    struct s3_op **op = context;
    return TAKE(*op);
}

enum status s3_do(struct s3 *s3, struct s3_op *op, struct err *err)
{
    const struct s3_batch batch = {.parallel = 1, .next = next_of_one, .context = &op};
    return s3_run(s3, &batch, err);
}

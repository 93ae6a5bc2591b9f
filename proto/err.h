/* The one error type of both programs. Every function that can fail returns `enum status` and fills
 * a `struct err` (which may be NULL). The codes are frozen: they travel in RESULTS frames and HTTP
 * errors, so a new one goes to the end and none is ever renumbered. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define MUST_USE     __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/* `AUTO(file_close) FILE *f` closes f at the end of the scope; DEFINE_AUTO makes the hook. */
#define AUTO(free_fn) __attribute__((cleanup(free_fn##_auto)))
#define DEFINE_AUTO(type, free_fn)                                                                 \
    static inline void free_fn##_auto(type *p)                                                     \
    {                                                                                              \
        if (*p)                                                                                    \
            free_fn(*p);                                                                           \
    }
/* The same for objects initialised in place: `AUTO(buf_fini) struct buf b = {0}`. */
#define DEFINE_AUTO_VALUE(type, fini_fn)                                                           \
    static inline void fini_fn##_auto(type *p)                                                     \
    {                                                                                              \
        fini_fn(p);                                                                                \
    }
/* Hands the value over and forgets it, so that the cleanup finds NULL. */
#define TAKE(p)                                                                                    \
    __extension__({                                                                                \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })
/* Passes a failure on to the caller. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum status try_status_ = (call);                                                          \
        if (try_status_ != OK)                                                                     \
            return try_status_;                                                                    \
    } while (0)

/* name, word on the wire and in JSON, may trying again mend it? */
#define STATUS_LIST(X)                                                                             \
    X(OK, "ok", false)                                                                             \
    X(E_INVALID, "invalid", false)         /* the input is wrong: a file, a parameter, a value */  \
    X(E_NOTFOUND, "not_found", false)      /* the named thing does not exist */                    \
    X(E_IO, "io", true)                    /* the operating system refused a read or write */      \
    X(E_NOMEM, "no_memory", true)          /* an allocation whose size input decides failed */     \
    X(E_LIMIT, "limit", false)             /* a maximum of proto/limits.h would be exceeded */     \
    X(E_CORRUPT, "corrupt", false)         /* bytes do not match their id, or cannot be parsed */  \
    X(E_LOST, "lost", true)                /* an input is missing from the store, or corrupt */    \
    X(E_TIMEOUT, "timeout", true)          /* the task ran past its `timeout` */                   \
    X(E_CRASHED, "crashed", true)          /* the slot or program died of a signal */              \
    X(E_EXIT, "exit", true)                /* the program ended with a status other than 0 */      \
    X(E_MEMORY, "memory_limit", true)      /* the task grew past its memory limit */               \
    X(E_CANCELLED, "cancelled", false)     /* a person stopped it */                               \
    X(E_GONE, "worker_gone", true)         /* the worker vanished or its lease ran out */          \
    X(E_FULL, "disk_full", true)           /* no space left on a device */                         \
    X(E_PROTOCOL, "protocol", false)       /* a peer sent what PROTOCOL.md does not allow */       \
    X(E_VERSION, "version", false)         /* a peer speaks another protocol or kind version */    \
    X(E_UNREACHABLE, "unreachable", true)  /* a server or peer does not answer */                  \
    X(E_DENIED, "denied", false)           /* no permission */                                     \
    X(E_CONFLICT, "conflict", false)       /* somebody else was first */                           \
    X(E_FENCED, "fenced", false)           /* another broker leads now */                          \
    X(E_POISON, "poison", false)           /* the task cost too many workers their life */         \
    X(E_UNSUPPORTED, "unsupported", false) /* this build or machine can't do it */

#define STATUS_ENUM(name, word, retryable) name,
enum status { STATUS_LIST(STATUS_ENUM) STATUS_COUNT };
#undef STATUS_ENUM

enum { ERR_TEXT_BYTES = 512 };

struct err {
    enum status code;
    char text[ERR_TEXT_BYTES];
};

/* Sets code and text and returns the code, so that `return err_set(err, E_INVALID, …)` reads well.
 */
enum status err_set(struct err *err, enum status code, const char *format, ...) PRINTF(3, 4);
enum status err_setv(struct err *err, enum status code, const char *format, va_list args)
    PRINTF(3, 0);
/* Puts "…: " before the text of an error that is passed on; returns its code. */
enum status err_prefix(struct err *err, const char *format, ...) PRINTF(2, 3);
/* The word of a code ("not_found"), and back; an unknown word is STATUS_COUNT. */
const char *status_name(enum status code);
enum status status_parse(const char *word);
/* May the same task succeed if it is simply tried again? */
bool status_is_retryable(enum status code);

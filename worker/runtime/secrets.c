// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/secrets.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "proto/limits.h"
#include "proto/schemas.h"

#define PREFIX       "PENSTOCK_SECRET_"
#define LABEL_PREFIX "secret:"
#define LABEL_VALUE  "=yes"

/* One of the two says where it is. */
struct secret {
    const char *name, *path;
    char *value;
};

struct secrets {
    struct arena arena;
    uint32_t count;
    struct secret items[SECRETS_MAX];
    const char *labels[SECRETS_MAX];
};

static bool is_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    size_t bytes = strlen(name);
    return bytes && bytes <= NAME_BYTES_MAX && !strchr("0123456789", *name) &&
           strspn(name, letters) == bytes;
}

static const struct secret *find(const struct secrets *secrets, const char *name)
{
    for (uint32_t i = 0; secrets && i < secrets->count; i++)
        if (!strcmp(secrets->items[i].name, name))
            return &secrets->items[i];
    return NULL;
}

/* A value that can be found again in what a program says, and that an environment takes. */
static enum status check_value(const char *name, const char *value, size_t bytes, struct err *err)
{
    if (memchr(value, 0, bytes))
        return err_set(err, E_INVALID, "secret %s: a zero byte can't be in an environment", name);
    if (bytes < SECRET_BYTES_MIN)
        return err_set(
            err, E_INVALID,
            "secret %s: a value of %zu bytes is too short to be masked in logs; at least "
            "%d are needed",
            name, bytes, SECRET_BYTES_MIN);
    if (bytes > SECRET_BYTES_MAX)
        return err_set(err, E_INVALID, "secret %s: %zu bytes, at most %d fit into an environment",
                       name, bytes, SECRET_BYTES_MAX);
    return OK;
}

static enum status add(struct secrets *secrets, const char *name, const char *path, char *value,
                       struct err *err)
{
    if (find(secrets, name)) { /* the environment's comes first */
        secret_free(value);
        return OK;
    }
    if (!is_name(name) || secrets->count == SECRETS_MAX) {
        secret_free(value);
        if (secrets->count == SECRETS_MAX)
            return err_set(err, E_LIMIT, "secret %s: over %d of them", name, SECRETS_MAX);
        return err_set(err, E_INVALID,
                       "secret \"%.80s\": the name is not a variable's (letters, digits and _, up "
                       "to %d)",
                       name, NAME_BYTES_MAX);
    }
    struct arena *arena = &secrets->arena;
    struct secret *item = &secrets->items[secrets->count];
    *item = (struct secret){arena_text(arena, name, strlen(name)), path, value};
    secrets->labels[secrets->count++] =
        arena_format(arena, LABEL_PREFIX "%s" LABEL_VALUE, item->name);
    return OK;
}

/* From the environment, where nobody finds it afterwards (/proc/PID/environ is this memory). */
static enum status take_environment(struct secrets *secrets, struct err *err)
{
    for (char **at = environ; at && *at; at++) {
        char *equals = strchr(*at, '=');
        if (!equals || strncmp(*at, PREFIX, sizeof PREFIX - 1) != 0)
            continue;
        char *value = equals + 1, name[NAME_BYTES_MAX + 2] = "";
        size_t bytes = strlen(value), name_bytes = (size_t)(equals - *at) - (sizeof PREFIX - 1);
        memcpy(name, *at + sizeof PREFIX - 1,
               name_bytes < sizeof name ? name_bytes : sizeof name - 1);
        TRY(check_value(name, value, bytes, err));
        char *copy = secret_copy(value, bytes);
        secret_wipe(value, bytes);
        TRY(add(secrets, name, NULL, copy, err));
    }
    return OK;
}

/* What the file holds, without the line's end that editors put there. */
static enum status read_file(const char *name, const char *path, char **out, size_t *bytes,
                             struct err *err)
{
    AUTO(buf_fini) struct buf text = buf_init(SECRET_BYTES_MAX + 2);
    enum status status = fs_read(path, &text, err);
    size_t count = text.count;
    if (count && text.bytes[count - 1] == '\n')
        count--;
    if (count && text.bytes[count - 1] == '\r')
        count--;
    if (status == OK)
        status = check_value(name, (const char *)text.bytes, count, err);
    *out = status == OK ? secret_copy((const char *)text.bytes, count) : NULL;
    *bytes = count;
    if (text.capacity)
        secret_wipe(text.bytes, text.capacity);
    return status;
}

static void close_folder_auto(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

static enum status list_files(struct secrets *secrets, const char *path, struct err *err)
{
    AUTO(close_folder) DIR *folder = opendir(path);
    if (!folder)
        return fs_error(err, errno, path, "secrets");
    for (const struct dirent *entry; (entry = readdir(folder));) {
        struct stat found;
        const char *file = arena_format(&secrets->arena, "%s/%s", path, entry->d_name);
        /* Kubernetes keeps what is behind its links in folders whose names begin with a dot. */
        if (entry->d_name[0] == '.' || stat(file, &found) || !S_ISREG(found.st_mode))
            continue;
        char *value;
        size_t bytes;
        TRY(read_file(entry->d_name, file, &value, &bytes, err));
        secret_free(value);
        TRY(add(secrets, entry->d_name, file, NULL, err));
    }
    return OK;
}

static int compare_labels(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum status secrets_open(const char *folder, struct secrets **out, struct err *err)
{
    *out = NULL;
    AUTO(secrets_free) struct secrets *secrets = mem_alloc(sizeof *secrets);
    TRY(take_environment(secrets, err));
    if (folder && *folder)
        TRY(list_files(secrets, folder, err));
    qsort((void *)secrets->labels, secrets->count, sizeof *secrets->labels, compare_labels);
    *out = TAKE(secrets);
    return OK;
}

void secrets_free(struct secrets *secrets)
{
    for (uint32_t i = 0; i < secrets->count; i++)
        secret_free(secrets->items[i].value);
    arena_fini(&secrets->arena);
    mem_free(secrets);
}

const char *const *secrets_labels(const struct secrets *secrets, size_t *count)
{
    *count = secrets->count;
    return secrets->labels;
}

static enum status get(const struct secrets *secrets, const char *name, struct kind_secret *out,
                       struct err *err)
{
    const struct secret *secret = find(secrets, name);
    if (!secret)
        return err_set(err, E_DENIED,
                       "secret %.80s: this worker has none of that name; give it " PREFIX
                       "%.80s, or a file in its --secrets folder",
                       name, name);
    out->name = name;
    if (secret->path)
        return read_file(name, secret->path, &out->value, &out->bytes, err);
    out->bytes = strlen(secret->value);
    out->value = secret_copy(secret->value, out->bytes);
    return OK;
}

enum status secrets_of(const struct secrets *secrets, const struct task_spec *spec,
                       struct arena *arena, struct kind_secret **out, uint32_t *count,
                       struct err *err)
{
    static const char key[] = "secrets";
    struct value params;
    struct exec_params read;
    *out = NULL;
    *count = 0;
    if (spec->kind_bytes != 4 || memcmp(spec->kind, "exec", 4) != 0 || !spec->params ||
        !memmem(spec->params, spec->params_bytes, key, sizeof key - 1))
        return OK;
    TRY(value_decode(spec->params, spec->params_bytes, arena_memory(arena), &params, err));
    TRY(schema_decode(&schema_exec, &params, &read, err));
    const struct value *names = read.secrets;
    if (!names || names->type != VALUE_ARRAY)
        return OK;
    if (names->count > SECRETS_MAX)
        return err_set(err, E_LIMIT, "secrets: %u names, over %d", names->count, SECRETS_MAX);
    *out = arena_alloc(arena, (names->count + 1) * sizeof **out);
    for (uint32_t i = 0; i < names->count; i++, ++*count)
        TRY(get(secrets, names->items[i].text, &(*out)[i], err));
    return OK;
}

void secrets_forget(struct kind_secret *items, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        secret_free(items[i].value);
}

// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"

static const char head[] = "penstock identity 1\npublic-key ", middle[] = "\nsecret-key ";

enum {
    HEX_BYTES = 2 * SIGN_SEED_BYTES,
    PUBLIC_AT = sizeof head - 1,
    MIDDLE_AT = PUBLIC_AT + HEX_BYTES,
    SECRET_AT = MIDDLE_AT + sizeof middle - 1,
    TEXT_BYTES = SECRET_AT + HEX_BYTES + 1
};

struct identity_text { /* locked */
    char text[TEXT_BYTES + 1];
    struct id seed;
};

static void secret_free_auto(struct identity_text **secret)
{
    secret_free(*secret);
}

/* ---- reading ---- */

static enum status check_mode(int fd, const char *path, struct err *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return fs_error(err, errno, path, "cannot look at it");
    mode_t others = info.st_mode & (info.st_uid == 0 && geteuid() != 0 ? 0037 : 0077);
    if (!S_ISREG(info.st_mode))
        return err_set(err, E_CORRUPT, "%s: not a file", path);
    if (others)
        return err_set(err, E_DENIED,
                       "%s: others can read or change it (mode %04o); mend: chmod 600 %s, and if "
                       "somebody may have read it, make another one",
                       path, (unsigned)info.st_mode & 07777u, path);
    return OK;
}

static bool parse(struct identity_text *text, struct id *public_key)
{
    return memcmp(text->text, head, sizeof head - 1) == 0 &&
           memcmp(text->text + MIDDLE_AT, middle, sizeof middle - 1) == 0 &&
           text->text[TEXT_BYTES - 1] == '\n' &&
           id_parse(text->text + PUBLIC_AT, HEX_BYTES, public_key, NULL) == OK &&
           id_parse(text->text + SECRET_AT, HEX_BYTES, &text->seed, NULL) == OK;
}

enum status identity_read(const char *path, struct signer **out, struct err *err)
{
    struct id public_key;
    *out = NULL;
    AUTO(fs_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fs_error(err, errno, path, "cannot open");
    TRY(check_mode(fd, path, err));
    AUTO(secret_free) struct identity_text *text = secret_new(sizeof *text);
    ssize_t got = read(fd, text->text, sizeof text->text);
    if (got < 0)
        return fs_error(err, errno, path, "cannot read");
    if (got != TEXT_BYTES || !parse(text, &public_key))
        return err_set(err, E_CORRUPT,
                       "%s: not an identity: expected the lines \"penstock identity 1\", "
                       "\"public-key …\" and \"secret-key …\" with 64 hex digits each",
                       path);
    AUTO(signer_free) struct signer *signer = signer_of_seed(text->seed.bytes);
    if (memcmp(signer_public(signer), public_key.bytes, SIGN_PUBLIC_BYTES) != 0)
        return err_set(err, E_CORRUPT, "%s: its public key is not that of its secret key", path);
    *out = TAKE(signer);
    return OK;
}

/* ---- writing ---- */

enum status identity_put(const struct signer *signer, int fd, const char *name, struct err *err)
{
    AUTO(secret_free) struct identity_text *text = secret_new(sizeof *text);
    struct id public_key;
    memcpy(public_key.bytes, signer_public(signer), SIGN_PUBLIC_BYTES);
    signer_copy_seed(signer, text->seed.bytes);
    memcpy(text->text, head, sizeof head - 1);
    id_hex(&public_key, text->text + PUBLIC_AT);
    memcpy(text->text + MIDDLE_AT, middle, sizeof middle - 1);
    id_hex(&text->seed, text->text + SECRET_AT);
    text->text[TEXT_BYTES - 1] = '\n';
    return fs_write_all(fd, text->text, TEXT_BYTES, name, err);
}

static enum status flush(int fd, const char *path, struct err *err)
{
    char copy[PATH_MAX];
    if (fsync(fd) != 0)
        return fs_error(err, errno, path, "cannot flush");
    snprintf(copy, sizeof copy, "%s", path);
    return fs_flush(dirname(copy), err);
}

enum status identity_create(const char *path, const struct signer *signer, struct err *err)
{
    AUTO(fs_close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fs_error(err, errno, path, "cannot create");
    enum status status = identity_put(signer, fd, path, err);
    if (status == OK)
        status = flush(fd, path, err);
    if (status != OK)
        unlink(path);
    return status;
}

enum status public_key_parse(const char *setting, const char *text, struct id *out, struct err *err)
{
    uint8_t wire[WIRE_KEY_BYTES];
    if (id_parse(text, strlen(text), out, NULL) != OK)
        return err_set(err, E_INVALID,
                       "%s \"%.80s\": expected a public key of 64 lower-case hex digits", setting,
                       text);
    if (!wire_public(out->bytes, wire))
        return err_set(err, E_INVALID, "%s %s: these bytes are no Ed25519 public key", setting,
                       text);
    return OK;
}

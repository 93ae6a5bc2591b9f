// SPDX-License-Identifier: Apache-2.0
#include "broker/api/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/crypto/secret.h"
#include "common/crypto/sign.h"
#include "common/fs.h"

enum { TOKEN_BYTES_MIN = 16, TOKEN_BYTES_MAX = 256, RANDOM_BYTES = 32, ROLES = 2 };

static const char *const names[ROLES] = {"read.token", "write.token"};
static const enum api_role roles[ROLES] = {ROLE_READ, ROLE_WRITE};

struct tokens {
    struct {
        char text[TOKEN_BYTES_MAX + 1];
        size_t bytes;
    } token[ROLES];
};

static enum status write_new(const char *path, struct err *err)
{
    uint8_t random[RANDOM_BYTES];
    char text[2 * RANDOM_BYTES + 2] = "";
    AUTO(fs_close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fs_error(err, errno, path, "cannot make it");
    random_bytes(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
    text[sizeof text - 2] = '\n';
    enum status status = fs_write_all(fd, text, sizeof text - 1, path, err);
    secret_wipe(random, sizeof random);
    secret_wipe(text, sizeof text);
    return status == OK ? fs_flush(path, err) : status;
}

/* It is whole when it gets its name: a broker that is killed meanwhile leaves no half of one, which
 * the next would refuse. */
static enum status make(const char *path, struct err *err)
{
    char temp[PATH_MAX];
    if (fs_exists(path))
        return OK;
    TRY(fs_temp_name(path, temp, sizeof temp, err));
    enum status status = write_new(temp, err);
    if (status == OK)
        status = fs_rename_new(temp, path, err);
    if (status != OK)
        unlink(temp);
    return status == E_CONFLICT ? OK : status; /* another was quicker */
}

static enum status check_mode(int fd, const char *path, struct err *err)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return fs_error(err, errno, path, "cannot look at it");
    if (about.st_mode & (S_IRWXG | S_IRWXO))
        return err_set(err, E_DENIED, "%s: others can read it (mode %03o); chmod 600 %s", path,
                       (unsigned)about.st_mode & 0777, path);
    return OK;
}

static enum status load(const char *path, char *text, size_t *bytes, struct err *err)
{
    AUTO(fs_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fs_error(err, errno, path, "cannot open it");
    TRY(check_mode(fd, path, err));
    AUTO(buf_fini) struct buf content = buf_init(2 * TOKEN_BYTES_MAX);
    TRY(fs_read_fd(fd, path, &content, err));
    const char *token = buf_text(&content);
    size_t count = strcspn(token, " \t\r\n");
    bool is_token = count >= TOKEN_BYTES_MIN && count <= TOKEN_BYTES_MAX &&
                    strspn(token + count, " \t\r\n") == content.count - count;
    for (size_t i = 0; i < count; i++)
        is_token &= token[i] > ' ' && token[i] < 0x7f;
    if (is_token)
        memcpy(text, token, count);
    *bytes = is_token ? count : 0;
    secret_wipe(content.bytes, content.count);
    return is_token ? OK
                    : err_set(err, E_INVALID,
                              "%s: expected one token of %d … %d printable characters; remove the "
                              "file, and the next start makes one",
                              path, TOKEN_BYTES_MIN, TOKEN_BYTES_MAX);
}

enum status tokens_open(const char *home, struct tokens **out, struct err *err)
{
    *out = NULL;
    AUTO(tokens_free) struct tokens *tokens = mem_alloc(sizeof *tokens);
    for (int i = 0; i < ROLES; i++) {
        AUTO(buf_fini) struct buf path = buf_init(0);
        buf_format(&path, "%s/%s", home, names[i]);
        TRY(make(buf_text(&path), err));
        TRY(load(buf_text(&path), tokens->token[i].text, &tokens->token[i].bytes, err));
    }
    *out = TAKE(tokens);
    return OK;
}

void tokens_free(struct tokens *tokens)
{
    secret_wipe(tokens, sizeof *tokens);
    mem_free(tokens);
}

enum api_role tokens_role(const struct tokens *tokens, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return ROLE_NONE;
    const char *token = authorization + sizeof scheme - 1;
    token += strspn(token, " ");
    enum api_role role = ROLE_NONE;
    for (int i = 0; i < ROLES; i++) /* both, always */
        if (secret_is_equal(token, strlen(token), tokens->token[i].text, tokens->token[i].bytes))
            role = roles[i];
    return role;
}

// SPDX-License-Identifier: Apache-2.0
#include "common/net/aws_profile.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "proto/limits.h"

struct setting {
    struct setting *next;
    const char *key, *file;
    char *value; /* a secret, maybe */
};

struct aws_profile {
    const char *name;
    const char *services; /* which [services …] is read; NULL: the profile itself */
    struct arena arena;
    struct setting *settings; /* those that come first are found first */
    struct setting **last;
    bool is_found;
};

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

void aws_profile_free(struct aws_profile *profile)
{
    for (struct setting *setting = profile->settings; setting; setting = setting->next)
        secret_free(setting->value);
    arena_fini(&profile->arena);
    mem_free(profile);
}

/* ---- lines ---- */

struct text {
    const char *at;
    size_t bytes;
};

static struct text trim(struct text text)
{
    while (text.bytes && strchr(" \t\r", *text.at))
        text.at++, text.bytes--;
    while (text.bytes && strchr(" \t\r", text.at[text.bytes - 1]))
        text.bytes--;
    return text;
}

static bool is_text(struct text text, const char *word)
{
    return text.bytes == strlen(word) && memcmp(text.at, word, text.bytes) == 0;
}

/* Behind the word that says what kind of section it is; the name may be in quotes. */
static bool take_word(struct text *text, const char *word)
{
    size_t bytes = strlen(word);
    if (text->bytes <= bytes || memcmp(text->at, word, bytes) != 0 ||
        !strchr(" \t", text->at[bytes]))
        return false;
    *text = trim((struct text){text->at + bytes, text->bytes - bytes});
    if (text->bytes > 1 && strchr("\"\'", *text->at) && text->at[text->bytes - 1] == *text->at)
        *text = (struct text){text->at + 1, text->bytes - 2};
    return true;
}

/* "[work]", in the config file "[profile work]" but for the default. */
static bool is_our_section(const struct aws_profile *profile, struct text line, bool is_config)
{
    struct text name = trim((struct text){line.at + 1, line.bytes - 2});
    if (profile->services)
        return take_word(&name, "services") && is_text(name, profile->services);
    if (is_config && take_word(&name, "profile"))
        return is_text(name, profile->name);
    return (!is_config || is_text(name, "default")) && is_text(name, profile->name);
}

struct reading {
    struct aws_profile *profile;
    const char *path;
    bool is_config, is_ours;
    const char *parent; /* of nested settings */
    int line;
};

static enum status read_setting(struct reading *reading, struct text line, bool is_nested,
                                struct err *err)
{
    struct aws_profile *profile = reading->profile;
    const char *equals = memchr(line.at, '=', line.bytes);
    if (!equals)
        return err_set(err, E_DENIED, "%s:%d: neither a [profile] nor a setting = value",
                       reading->path, reading->line);
    struct text key = trim((struct text){line.at, (size_t)(equals - line.at)});
    struct text value =
        trim((struct text){equals + 1, line.bytes - (size_t)(equals + 1 - line.at)});
    if (!reading->is_ours)
        return OK;
    const char *name = arena_text(&profile->arena, key.at, key.bytes);
    if (is_nested && reading->parent)
        name = arena_format(&profile->arena, "%s.%s", reading->parent, name);
    if (!is_nested)
        reading->parent = value.bytes ? NULL : name;
    if (!value.bytes)
        return OK;
    struct setting *setting = arena_alloc(&profile->arena, sizeof *setting);
    *setting = (struct setting){
        .key = name, .file = reading->path, .value = secret_copy(value.at, value.bytes)};
    *profile->last = setting;
    profile->last = &setting->next;
    return OK;
}

static enum status read_line(struct reading *reading, struct text whole, struct err *err)
{
    struct text line = trim(whole);
    if (!line.bytes || *line.at == '#' || *line.at == ';')
        return OK;
    if (*line.at == '[' && line.at[line.bytes - 1] == ']') {
        reading->is_ours = is_our_section(reading->profile, line, reading->is_config);
        reading->profile->is_found |= reading->is_ours;
        reading->parent = NULL;
        return OK;
    }
    return read_setting(reading, line, line.at != whole.at, err);
}

static enum status read_file(struct aws_profile *profile, const char *path, bool is_config,
                             struct err *err)
{
    AUTO(buf_fini) struct buf text = buf_init(AWS_FILE_BYTES_MAX);
    struct err why;
    enum status status = fs_read(path, &text, &why);
    if (status == E_NOTFOUND)
        return OK;
    if (status != OK)
        return err_set(err, status, "%s", why.text);
    struct reading reading = {.profile = profile, .path = path, .is_config = is_config};
    const char *at = (const char *)text.bytes, *end = at + text.count;
    while (at < end && status == OK) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        reading.line++;
        status = read_line(&reading, (struct text){at, (size_t)(stop - at)}, err);
        at = stop + 1;
    }
    secret_wipe(text.bytes, text.count);
    return status;
}

static const char *path_of(struct aws_profile *profile, const char *variable, const char *name)
{
    const char *path = environment(variable), *home = environment("HOME");
    if (path && path[0] == '~' && path[1] == '/' && home)
        return arena_format(&profile->arena, "%s%s", home, path + 1);
    if (path)
        return arena_text(&profile->arena, path, strlen(path));
    return home ? arena_format(&profile->arena, "%s/.aws/%s", home, name) : NULL;
}

enum status aws_profile_load(struct aws_profile **out, struct err *err)
{
    *out = NULL;
    AUTO(aws_profile_free) struct aws_profile *profile = mem_alloc(sizeof *profile);
    profile->last = &profile->settings;
    const char *name = environment("AWS_PROFILE");
    profile->name = name ? arena_text(&profile->arena, name, strlen(name)) : "default";
    const char *keys = path_of(profile, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    const char *config = path_of(profile, "AWS_CONFIG_FILE", "config");
    if (keys)
        TRY(read_file(profile, keys, false, err));
    if (config)
        TRY(read_file(profile, config, true, err));
    if (config && (profile->services = aws_profile_get(profile, "services")))
        TRY(read_file(profile, config, true, err));
    if (name && !profile->is_found)
        return err_set(err, E_DENIED,
                       "AWS_PROFILE=%s: no such profile in %s or %s; correct the name, or add it",
                       name, keys ? keys : "~/.aws/credentials", config ? config : "~/.aws/config");
    *out = TAKE(profile);
    return OK;
}

static const struct setting *find(const struct aws_profile *profile, const char *key)
{
    for (const struct setting *setting = profile->settings; setting; setting = setting->next)
        if (strcmp(setting->key, key) == 0)
            return setting;
    return NULL;
}

const char *aws_profile_get(const struct aws_profile *profile, const char *key)
{
    const struct setting *setting = find(profile, key);
    return setting ? setting->value : NULL;
}

const char *aws_profile_place(const struct aws_profile *profile, const char *key)
{
    const struct setting *setting = find(profile, key);
    struct arena *arena = (struct arena *)(uintptr_t)&profile->arena;
    return arena_format(arena, "the profile %s of %s", profile->name,
                        setting ? setting->file : "~/.aws");
}

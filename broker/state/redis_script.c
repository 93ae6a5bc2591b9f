// SPDX-License-Identifier: Apache-2.0
#include "broker/state/redis_script.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/state/redis_value.h"

/* VERB take, renew or release; EPOCH, WRITER: ours (take: the epoch must become higher);
 * HOLDER, LEASE_MS, FORMAT; FORCE "1": a lease of a lower epoch than ours does not count, for the
 * server has forgotten that we came after it. */
static const char lead_script[] =
    "local epoch,writer,verb,holder,ms,format,force=unpack(ARGV)\n"
    "local t=redis.call('TIME') local now=t[1]*1000+math.floor(t[2]/1000)\n"
    "local h=redis.call('HMGET',KEYS[1],'epoch','writer','until','holder','at','format')\n"
    "local theirs=tonumber(h[1] or '0') local till=tonumber(h[3] or '0')\n"
    "if tonumber(h[6] or '0')>tonumber(format) then return {'FORMAT',h[6]} end\n"
    "local mine=h[2]==writer\n"
    "if verb~='take' then\n"
    "  if not mine or h[1]~=epoch then\n"
    "    return {'FENCED',h[1] or '0',h[2] or '',h[4] or ''} end\n"
    "  redis.call('HSET',KEYS[1],'until',verb=='renew' and string.format('%.0f',now+ms) or '0')\n"
    "  return {'OK',epoch,h[5] or ''}\n"
    "end\n"
    "if not mine and till>now and not (force=='1' and theirs<tonumber(epoch)) then\n"
    "  return {'HELD',h[4] or '',string.format('%.0f',till-now),h[1]} end\n"
    "if force=='1' and not mine and theirs>=tonumber(epoch) then\n"
    "  return {'FENCED',h[1],h[2] or '',h[4] or ''} end\n"
    "local new=string.format('%.0f',math.max(theirs,tonumber(epoch))+1)\n"
    "redis.call('HSET',KEYS[1],'format',format,'epoch',new,'writer',writer,'holder',holder,\n"
    "  'until',string.format('%.0f',now+ms))\n"
    "return {'OK',new,h[5] or ''}\n";

/* Pairs stand last record first: of two records of one task the first counts, and MSETNX keeps the
 * last. unpack takes some 8,000 values at most. */
static const char commit_script[] =
    "local h=redis.call('HMGET',KEYS[1],'epoch','writer','at','holder')\n"
    "if h[1]~=ARGV[1] or h[2]~=ARGV[2] then\n"
    "  return {'FENCED',h[1] or '0',h[2] or '',h[4] or ''} end\n"
    "if ARGV[3]~='*' and (h[3] or '')~=ARGV[3] then return {'LOST',h[3] or ''} end\n"
    "local prefix,entry=ARGV[5],ARGV[6]\n"
    "local i,n=10,tonumber(ARGV[7])\n"
    "redis.call('HSET',KEYS[1],'at',ARGV[4])\n"
    "for k=i+1,i+n do\n"
    "  local key=prefix..'t:'..ARGV[k]\n"
    "  local old=redis.call('GET',key)\n"
    "  if old then\n"
    "    redis.call('DEL',key)\n"
    "    if string.byte(old)==1 then redis.call('DEL',prefix..'a:'..string.sub(old,22,53)) end\n"
    "  end\n"
    "end\n"
    "i=i+n n=tonumber(ARGV[8])\n"
    "local last=i+n\n"
    "while last>i do\n"
    "  local first=math.max(i+1,last-3999)\n"
    "  if redis.call('MSETNX',unpack(ARGV,first,last))==0 then\n"
    "    for k=last-1,first,-2 do redis.call('SET',ARGV[k],ARGV[k+1],'NX') end\n"
    "  end\n"
    "  last=first-1\n"
    "end\n"
    "i=i+n n=tonumber(ARGV[9])\n"
    "for k=i+1,i+n,2 do\n"
    "  local made=redis.call('GET',prefix..'a:'..ARGV[k+1])\n"
    "  if made then redis.call('SET',prefix..'t:'..ARGV[k],made) end\n"
    "end\n"
    "i=i+n n=tonumber(ARGV[10])\n"
    "for k=i+1,i+n,2 do\n"
    "  local key=prefix..'run:'..ARGV[k]\n"
    "  if ARGV[k+1]=='' then\n"
    "    redis.call('DEL',key) redis.call('ZREM',KEYS[3],ARGV[k])\n"
    "  else\n"
    "    redis.call('SET',key,ARGV[k+1]) redis.call('ZADD',KEYS[3],0,ARGV[k])\n"
    "  end\n"
    "end\n"
    "if entry~='' then redis.call('RPUSH',KEYS[2],entry) end\n"
    "return {'OK'}\n";

static const char trim_script[] = "local h=redis.call('HMGET',KEYS[1],'epoch','writer','holder')\n"
                                  "if h[1]~=ARGV[1] or h[2]~=ARGV[2] then\n"
                                  "  return {'FENCED',h[1] or '0',h[2] or '',h[3] or ''} end\n"
                                  "redis.call('LTRIM',KEYS[2],ARGV[3],-1)\n"
                                  "redis.call('HSET',KEYS[1],'stored',ARGV[4])\n"
                                  "return {'OK'}\n";

static const char *const texts[SCRIPT_COUNT] = {lead_script, commit_script, trim_script};

void redis_scripts_init(struct redis_scripts *scripts, const char *ns)
{
    snprintf(scripts->prefix, sizeof scripts->prefix, "%s:", ns);
    snprintf(scripts->lead, sizeof scripts->lead, "%s:lead", ns);
    snprintf(scripts->outbox, sizeof scripts->outbox, "%s:outbox", ns);
    snprintf(scripts->runs, sizeof scripts->runs, "%s:runs", ns);
}

enum status redis_scripts_load(struct redis_scripts *scripts, struct redis_link *link,
                               struct err *err)
{
    struct redis_reply *reply;
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        TRY(redis_link_ask(link, (const char *const[]){"SCRIPT", "LOAD", texts[i], NULL}, &reply,
                           err));
        snprintf(scripts->sha[i], sizeof scripts->sha[i], "%s",
                 reply->type == REDIS_TEXT ? reply->text : "");
    }
    return OK;
}

void redis_scripts_call(const struct redis_scripts *scripts, enum redis_script script,
                        struct redis_link *link, uint64_t epoch, uint64_t writer, size_t more)
{
    char text[24];
    redis_link_command(link, 8 + more);
    redis_link_text(link, "EVALSHA");
    redis_link_text(link, scripts->sha[script]);
    redis_link_text(link, "3");
    redis_link_text(link, scripts->lead);
    redis_link_text(link, scripts->outbox);
    redis_link_text(link, scripts->runs);
    redis_link_number(link, epoch);
    snprintf(text, sizeof text, "%016" PRIx64, writer);
    redis_link_text(link, text);
}

static void put_key(const struct redis_scripts *scripts, struct redis_link *link, char space,
                    const struct id *id)
{
    size_t prefix = strlen(scripts->prefix);
    uint8_t *room = redis_link_room(link, prefix + 2 + ID_BYTES);
    memcpy(room, scripts->prefix, prefix);
    room[prefix] = (uint8_t)space;
    room[prefix + 1] = ':';
    memcpy(room + prefix + 2, id->bytes, ID_BYTES);
}

void redis_keys_queue(const struct redis_scripts *scripts, struct redis_link *link,
                      const char *command, char space, const struct id *ids, uint32_t count)
{
    redis_link_command(link, 1 + (size_t)count);
    redis_link_text(link, command);
    for (uint32_t i = 0; i < count; i++)
        put_key(scripts, link, space, &ids[i]);
}

/* ---- a commit ---- */

size_t redis_value_head(struct mark mark, uint32_t offset, const struct id *action,
                        uint8_t out[VALUE_HEAD_BYTES_MAX])
{
    uint64_t epoch = htole64(mark.epoch), number = htole64(mark.number);
    offset = htole32(offset);
    out[0] = action != NULL;
    memcpy(out + 1, &epoch, 8);
    memcpy(out + 9, &number, 8);
    memcpy(out + 17, &offset, 4);
    if (!action)
        return VALUE_HEAD_BYTES;
    memcpy(out + VALUE_HEAD_BYTES, action->bytes, ID_BYTES);
    return VALUE_HEAD_BYTES_MAX;
}

bool redis_value_read(const void *value, size_t count, struct redis_value *out)
{
    const uint8_t *bytes = value;
    size_t head = count && bytes[0] == 1 ? VALUE_HEAD_BYTES_MAX : VALUE_HEAD_BYTES;
    if (count < head || bytes[0] > 1)
        return false;
    memcpy(&out->epoch, bytes + 1, 8);
    memcpy(&out->number, bytes + 9, 8);
    memcpy(&out->offset, bytes + 17, 4);
    out->epoch = le64toh(out->epoch);
    out->number = le64toh(out->number);
    out->offset = le32toh(out->offset);
    out->record = bytes + head;
    out->record_bytes = count - head;
    return true;
}

static void put_pair(const struct redis_scripts *scripts, struct redis_link *link, char space,
                     const struct id *key, struct mp_view head, struct mp_view record)
{
    put_key(scripts, link, space, key);
    uint8_t *room = redis_link_room(link, head.count + record.count);
    memcpy(room, head.bytes, head.count);
    memcpy(room + head.count, record.bytes, record.count);
}

/* Where the frame begins in the entry's area; frames mostly come in order. */
struct area {
    uint32_t frame;
    uint64_t at;
};

static uint32_t area_offset(struct area *area, const struct state_batch *part,
                            const struct state_record *record)
{
    for (; area->frame < record->frame; area->frame++)
        area->at += part->frames[area->frame].count;
    for (; area->frame > record->frame; area->frame--)
        area->at -= part->frames[area->frame - 1].count;
    return (uint32_t)(area->at + record->offset);
}

static void put_records(const struct redis_scripts *scripts, struct redis_link *link,
                        struct mark mark, const struct state_batch *part)
{
    struct area area = {0};
    for (uint32_t i = part->record_count; i-- > 0;) {
        const struct state_record *record = &part->records[i];
        const struct id *action = record->has_action ? &record->action : NULL;
        uint8_t bytes[VALUE_HEAD_BYTES_MAX];
        struct mp_view head = {
            bytes, redis_value_head(mark, area_offset(&area, part, record), action, bytes)};
        struct mp_view what = {part->frames[record->frame].bytes + record->offset, record->bytes};
        put_pair(scripts, link, 't', &record->task, head, what);
        if (action)
            put_pair(scripts, link, 'a', action, head, what);
    }
}

static void put_lists(struct redis_link *link, const struct state_batch *part)
{
    for (uint32_t i = 0; i < part->alias_count; i++) {
        redis_link_word(link, part->aliases[i].task.bytes, ID_BYTES);
        redis_link_word(link, part->aliases[i].action.bytes, ID_BYTES);
    }
    for (uint32_t i = 0; i < part->run_count; i++) {
        redis_link_text(link, part->runs[i].id);
        redis_link_word(link, part->runs[i].document, part->runs[i].document_bytes);
    }
}

void redis_commit_queue(const struct redis_scripts *scripts, struct redis_link *link,
                        uint64_t epoch, uint64_t writer, const struct mark *before,
                        struct mark mark, const struct state_batch *part, struct mp_view entry)
{
    char text[MARK_TEXT_BYTES] = "*";
    size_t pairs = part->record_count;
    for (uint32_t i = 0; i < part->record_count; i++)
        pairs += part->records[i].has_action;
    redis_scripts_call(scripts, SCRIPT_COMMIT, link, epoch, writer,
                       8 + part->removal_count + 2 * pairs + 2 * (size_t)part->alias_count +
                           2 * (size_t)part->run_count);
    if (before && !before->epoch)
        text[0] = '\0';
    else if (before)
        mark_write(*before, text);
    redis_link_text(link, text);
    mark_write(mark, text);
    redis_link_text(link, text);
    redis_link_text(link, scripts->prefix);
    redis_link_word(link, entry.bytes, entry.count);
    redis_link_number(link, part->removal_count);
    redis_link_number(link, 2 * pairs);
    redis_link_number(link, 2 * (uint64_t)part->alias_count);
    redis_link_number(link, 2 * (uint64_t)part->run_count);
    for (uint32_t i = 0; i < part->removal_count; i++)
        redis_link_word(link, part->removals[i].bytes, ID_BYTES);
    put_records(scripts, link, mark, part);
    put_lists(link, part);
}

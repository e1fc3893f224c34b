/* Measurements out of a record batch of the log, as columns.
 *
 * Only what is written in the usual way is taken: any other record, and all that is damaged, refuses the
 * whole record batch, and the careful reader (domain/measurements.py) says what each of its records is worth.
 * So this never decides that something cannot be read, and it takes nothing that `checker` would not take
 * with the same numbers (tests/red_stats/kafka/test_scanner.py). What it leaves to its caller is whether a key is
 * a client_id of the partition: `names` has each of them once.
 *
 * Format of a record batch, version 2: https://kafka.apache.org/documentation/#recordbatch
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MAX_FUTURE_MS (5 * 60 * 1000)
#define MAX_NAME 64
#define MAX_RECORD (1 << 20) /* of domain/dead_letters.py */

enum { IMAGE_ID, CLIENT_ID, MEASURED_AT, RED, RED_PIXELS, PIXELS, RED_EXCESS, RED_CHANNEL, WIDTH, HEIGHT,
       FORMAT, BYTES, SHA256, RULE, DECODER, FIELDS };
enum { TEXT, TIME, SHARE, NUMBER };

static const struct { const char *name; uint8_t length, kind; } FIELD[FIELDS] = {
    {"image_id", 8, TEXT},    {"client_id", 9, TEXT},     {"measured_at", 11, TIME},  {"red", 3, SHARE},
    {"red_pixels", 10, NUMBER}, {"pixels", 6, NUMBER},    {"red_excess", 10, SHARE},  {"red_channel", 11, SHARE},
    {"width", 5, NUMBER},     {"height", 6, NUMBER},      {"format", 6, TEXT},        {"bytes", 5, NUMBER},
    {"sha256", 6, TEXT},      {"rule", 4, TEXT},          {"decoder", 7, TEXT},
};
#define NEEDED (1u << IMAGE_ID | 1u << CLIENT_ID | 1u << MEASURED_AT | 1u << RED)

typedef struct { const uint8_t *at, *end; } Span;

typedef struct { uint8_t *content; uint64_t size; } Texts;  /* one behind the other */

/* What is filled, by rows; the arrays have room for as many records as the batches say they hold, the
 * texts for all of their bytes and 5 more a row. `described` asks for every column, with the length before
 * each text as ClickHouse's Native format has it; else images has the bare image_ids and nothing is
 * written behind `client`. */
typedef struct {
    int64_t rows, names, described;
    uint8_t *name;            /* MAX_NAME bytes for each */
    uint8_t *name_length;
    int32_t *slots;           /* a hash table of names, -1 where free */
    int64_t slot_mask;
    int64_t *offset, *logged_at, *at;
    uint16_t *red;
    int32_t *client;          /* number of its name */
    uint32_t *image_end;      /* in `image`, of a bare image_id */
    Texts image;
    Texts client_id, format, sha256, rule, decoder;
    uint64_t *red_pixels, *pixels, *bytes;
    uint16_t *red_excess, *red_channel;
    uint32_t *width, *height;
} Columns;

static int64_t plus(int64_t one, int64_t other) { return (int64_t)((uint64_t)one + (uint64_t)other); }

static int64_t big_endian(const uint8_t *at, int bytes) {
    uint64_t found = at[0] & 0x80 && bytes < 8 ? ~0ull : 0;
    while (bytes--) found = found << 8 | *at++;
    return (int64_t)found;
}

static int varint(Span *from, int64_t *found) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && from->at < from->end; shift += 7) {
        uint8_t byte = *from->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *found = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
            return 1;
        }
    }
    return 0;
}

/* A field of bytes behind its length; one of length -1 (null) is refused unless `nullable`. */
static int sized(Span *from, Span *found, int nullable) {
    int64_t length;
    if (!varint(from, &length)) return 0;
    if (length == -1 && nullable) return 1;
    if (length < 0 || length > from->end - from->at) return 0;
    found->at = from->at;
    found->end = from->at += length;
    return 1;
}

static void blanks(Span *from) {
    while (from->at < from->end &&
           (*from->at == ' ' || *from->at == '\n' || *from->at == '\t' || *from->at == '\r')) from->at++;
}

static int take(Span *from, uint8_t wanted) {
    blanks(from);
    if (from->at == from->end || *from->at != wanted) return 0;
    from->at++;
    return 1;
}

/* A string of printable ASCII without escapes, behind its opening quote. */
static int text(Span *from, Span *found) {
    const uint8_t *at = from->at;
    while (at < from->end && *at >= 0x20 && *at < 0x7f && *at != '"' && *at != '\\') at++;
    if (at == from->end || *at != '"') return 0;
    found->at = from->at;
    found->end = at;
    from->at = at + 1;
    return 1;
}

static int is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

/* Digits without a leading zero, at most 18 of them. */
static int number(Span *from, uint64_t *found) {
    const uint8_t *at = from->at;
    uint64_t value = 0;
    while (at < from->end && is_digit(*at) && at - from->at < 19) value = value * 10 + (*at++ - '0');
    int digits = (int)(at - from->at);
    if (!digits || digits > 18 || (digits > 1 && *from->at == '0')) return 0;
    *found = value;
    from->at = at;
    return 1;
}

/* A share in 0..1 with at most four decimals, in basis points. */
static int share(Span *from, uint64_t *found) {
    uint64_t whole, rest = 0;
    if (!number(from, &whole) || whole > 1) return 0;
    if (from->at < from->end && *from->at == '.') {
        const uint8_t *at = ++from->at;
        uint64_t unit = 10000;
        while (at < from->end && is_digit(*at) && unit > 1) rest += (*at++ - '0') * (unit /= 10);
        if (at == from->at) return 0;
        from->at = at;
    }
    *found = whole * 10000 + rest;
    return *found <= 10000;
}

static int digits(const uint8_t *at, int count, int64_t *found) {
    int64_t value = 0;
    while (count--) {
        if (!is_digit(*at)) return 0;
        value = value * 10 + (*at++ - '0');
    }
    *found = value;
    return 1;
}

/* 2026-11-25T02:25:47.707Z, from 1970 on, in ms since then. */
static int moment(Span text, int64_t *found) {
    static const uint8_t DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const uint8_t *t = text.at;
    int64_t year, month, day, hour, minute, second, ms;
    if (text.end - t != 24 || t[4] != '-' || t[7] != '-' || t[10] != 'T' || t[13] != ':' || t[16] != ':' ||
        t[19] != '.' || t[23] != 'Z') return 0;
    if (!digits(t, 4, &year) || !digits(t + 5, 2, &month) || !digits(t + 8, 2, &day) ||
        !digits(t + 11, 2, &hour) || !digits(t + 14, 2, &minute) || !digits(t + 17, 2, &second) ||
        !digits(t + 20, 3, &ms)) return 0;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59) return 0;
    int leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > DAYS[month - 1] + (leaps && month == 2)) return 0;
    /* days since 1970 by https://howardhinnant.github.io/date_algorithms.html#days_from_civil */
    int64_t from_march = (month + 9) % 12, y = year - (month <= 2), era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * from_march + 2) / 5 + day - 1;
    int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    *found = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + ms;
    return 1;
}

typedef struct { uint32_t seen; Span text[FIELDS]; int64_t value[FIELDS]; } Event;

static int field_of(Span name, int guess) {
    ptrdiff_t length = name.end - name.at;
    for (int tried = 0; tried < FIELDS; tried++, guess = (guess + 1) % FIELDS)
        if (FIELD[guess].length == length && !memcmp(FIELD[guess].name, name.at, length)) return guess;
    return -1;
}

static int member(Span *from, Event *event, int *last) {
    Span name, written;
    uint64_t value = 0;
    if (!take(from, '"') || !text(from, &name) || !take(from, ':')) return 0;
    int field = field_of(name, (*last + 1) % FIELDS);
    if (field < 0 || event->seen & 1u << field) return 0;
    blanks(from);
    switch (FIELD[field].kind) {
    case TEXT:
        if (!take(from, '"') || !text(from, &event->text[field])) return 0;
        break;
    case TIME:
        if (!take(from, '"') || !text(from, &written) || !moment(written, &event->value[field])) return 0;
        break;
    case SHARE:
        if (!share(from, &value)) return 0;
        event->value[field] = (int64_t)value;
        break;
    default:
        if (!number(from, &value)) return 0;
        event->value[field] = (int64_t)value;
    }
    event->seen |= 1u << field;
    *last = field;
    return 1;
}

static int object(Span from, Event *event) {
    int last = FIELDS - 1;
    memset(event, 0, sizeof *event);
    if (!take(&from, '{')) return 0;
    do {
        if (!member(&from, event, &last)) return 0;
    } while (take(&from, ','));
    if (!take(&from, '}')) return 0;
    blanks(&from);
    ptrdiff_t named = event->text[IMAGE_ID].end - event->text[IMAGE_ID].at;
    return from.at == from.end && (event->seen & NEEDED) == NEEDED && named >= 1 && named <= 200;
}

/* The number of a name, which is noted when it is new; -1 for one that no client can have. */
static int32_t named(Columns *to, Span key) {
    int64_t length = key.end - key.at;
    if (length < 1 || length > MAX_NAME) return -1;
    uint64_t hash = 14695981039346656037ull; /* FNV-1a */
    for (const uint8_t *at = key.at; at < key.end; at++) hash = (hash ^ *at) * 1099511628211ull;
    for (int64_t slot = (int64_t)(hash ^ hash >> 32) & to->slot_mask;; slot = (slot + 1) & to->slot_mask) {
        int32_t found = to->slots[slot];
        if (found < 0) {
            found = to->slots[slot] = (int32_t)to->names++;
            to->name_length[found] = (uint8_t)length;
            memcpy(to->name + (int64_t)found * MAX_NAME, key.at, length);
            return found;
        }
        if (to->name_length[found] == length && !memcmp(to->name + (int64_t)found * MAX_NAME, key.at, length))
            return found;
    }
}

static void add(Texts *to, Span text, int64_t prefixed) {
    uint64_t length = text.end - text.at, rest = length;
    if (prefixed) {
        for (; rest > 0x7f; rest >>= 7) to->content[to->size++] = (uint8_t)(rest | 0x80);
        to->content[to->size++] = (uint8_t)rest;
    }
    if (length) memcpy(to->content + to->size, text.at, length);
    to->size += length;
}

static uint32_t narrow(int64_t number) { return number > UINT32_MAX ? UINT32_MAX : (uint32_t)number; }

static void keep(Columns *to, const Event *event, int64_t offset, int64_t logged_at, int32_t client) {
    int64_t row = to->rows++;
    to->offset[row] = offset;
    to->logged_at[row] = logged_at;
    to->at[row] = event->value[MEASURED_AT];
    to->red[row] = (uint16_t)event->value[RED];
    to->client[row] = client;
    add(&to->image, event->text[IMAGE_ID], to->described);
    to->image_end[row] = (uint32_t)to->image.size;
    if (!to->described) return;
    add(&to->client_id, event->text[CLIENT_ID], 1);
    add(&to->format, event->text[FORMAT], 1);
    add(&to->sha256, event->text[SHA256], 1);
    add(&to->rule, event->text[RULE], 1);
    add(&to->decoder, event->text[DECODER], 1);
    to->red_pixels[row] = (uint64_t)event->value[RED_PIXELS];
    to->pixels[row] = (uint64_t)event->value[PIXELS];
    to->bytes[row] = (uint64_t)event->value[BYTES];
    to->red_excess[row] = (uint16_t)event->value[RED_EXCESS];
    to->red_channel[row] = (uint16_t)event->value[RED_CHANNEL];
    to->width[row] = narrow(event->value[WIDTH]);
    to->height[row] = narrow(event->value[HEIGHT]);
}

static int headers(Span *from) {
    int64_t count;
    Span skipped;
    if (!varint(from, &count) || count < 0) return 0;
    while (count--)
        if (!sized(from, &skipped, 0) || !sized(from, &skipped, 1)) return 0;
    return 1;
}

typedef struct { int64_t base_offset, base_time, max_time, records, is_append_time; } Batch;

static int record(Columns *to, Span *from, const Batch *batch, int64_t since) {
    Span body, key, value;
    int64_t time_delta, offset_delta;
    Event event;
    if (!sized(from, &body, 0) || body.at == body.end || *body.at++ & 0x80) return 0;
    if (!varint(&body, &time_delta) || !varint(&body, &offset_delta)) return 0;
    if (!sized(&body, &key, 0) || !sized(&body, &value, 0) || !headers(&body) || body.at != body.end) return 0;
    int64_t offset = plus(batch->base_offset, offset_delta);
    if (offset < since) return 1;
    if ((key.end - key.at) + (value.end - value.at) > MAX_RECORD) return 0;
    if (to->rows && offset <= to->offset[to->rows - 1]) return 0;
    int64_t logged_at = batch->is_append_time ? batch->max_time : plus(batch->base_time, time_delta);
    if (!object(value, &event) || event.value[MEASURED_AT] > plus(logged_at, MAX_FUTURE_MS)) return 0;
    Span client_id = event.text[CLIENT_ID];
    ptrdiff_t length = key.end - key.at;
    if (client_id.end - client_id.at != length || memcmp(client_id.at, key.at, length)) return 0;
    int32_t client = named(to, key);
    if (client < 0) return 0;
    keep(to, &event, offset, logged_at, client);
    return 1;
}

/* Adds the records of one batch from offset `since` on: its header of 61 bytes, its records uncompressed.
 * Returns 0 when it has to be read carefully; what is in `to` then is of no use. */
int scan(Columns *to, const uint8_t *header, const uint8_t *records, size_t size, int64_t since) {
    const int64_t CONTROL = 0x20, APPEND_TIME = 0x08;
    int64_t attributes = big_endian(header + 21, 2);
    Batch batch = {big_endian(header, 8), big_endian(header + 27, 8), big_endian(header + 35, 8),
                   big_endian(header + 57, 4), (attributes & APPEND_TIME) != 0};
    Span from = {records, records + size};
    if (header[16] != 2 || attributes & CONTROL) return 0;
    for (int64_t left = batch.records; left > 0; left--)
        if (!record(to, &from, &batch, since)) return 0;
    return from.at == from.end;
}

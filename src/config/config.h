/*
 * The settings of the process: from their defaults, a YAML file, the environment and the command
 * line, each stronger than the one before. options.def has one row per setting; the fields of
 * struct config, flags, variables, file keys, documents and completion all follow from it.
 *
 *   struct config config;
 *   config_init(&config);
 *   TRY(config_load(&config, &request, err));
 *   listen_on(config.http_address, config.http_port);
 *   config_clear(&config);
 *
 * Filled in by the main thread, constant afterwards: any thread may read. Texts and lists are owned
 * by the config and live as long as it does.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/arena.h"

/* A second, in the unit of the table's limits. */
#define CONFIG_S INT64_C(1000000000)

enum {
    CONFIG_FILE_SIZE_MAX = 1024 * 1024,
    CONFIG_LIST_MAX = 1000, /* entries of one list, and positional arguments */
    CONFIG_WARNINGS_MAX = 32,
    CONFIG_MEMORY_MAX = 16 * 1024 * 1024,
};

enum { CONFIG_SECRET = 1, CONFIG_RELOAD = 2, CONFIG_WHOLE = 4 };

struct config_list {
    const char **items;
    size_t count;
};

/* Values of the ENUM settings, in the order of their choices. */
enum config_color { CONFIG_COLOR_AUTO, CONFIG_COLOR_ALWAYS, CONFIG_COLOR_NEVER };
enum config_control { CONFIG_CONTROL_NONE, CONFIG_CONTROL_POLL, CONFIG_CONTROL_EXPLICIT };
enum config_lambda_results {
    CONFIG_LAMBDA_RESULTS_STORE,
    CONFIG_LAMBDA_RESULTS_PRINT,
    CONFIG_LAMBDA_RESULTS_NONE
};
enum config_shell { CONFIG_SHELL_NONE, CONFIG_SHELL_BASH, CONFIG_SHELL_ZSH, CONFIG_SHELL_FISH };
enum config_format {
    CONFIG_FORMAT_AUTO,
    CONFIG_FORMAT_TEXT,
    CONFIG_FORMAT_NDJSON,
    CONFIG_FORMAT_CSV
};

enum config_input { CONFIG_INPUT_AUTO, CONFIG_INPUT_OIP, CONFIG_INPUT_ARRAY, CONFIG_INPUT_CSV };
enum config_output {
    CONFIG_OUTPUT_AUTO,
    CONFIG_OUTPUT_TABLE,
    CONFIG_OUTPUT_JSON,
    CONFIG_OUTPUT_ARRAY
};

enum config_kind {
    CONFIG_BOOL,
    CONFIG_INT,
    CONFIG_UINT,
    CONFIG_DURATION,
    CONFIG_BYTES,
    CONFIG_DOUBLE,
    CONFIG_STRING,
    CONFIG_PATH,
    CONFIG_LIST,
    CONFIG_ENUM,
};

enum config_scope { CONFIG_SCOPE_COMMON, CONFIG_SCOPE_SERVER, CONFIG_SCOPE_COMMAND };

#define CONFIG_FIELD_BOOL(category, name) category##_##name
#define CONFIG_FIELD_INT(category, name) category##_##name
#define CONFIG_FIELD_UINT(category, name) category##_##name
#define CONFIG_FIELD_DURATION(category, name) category##_##name##_ns
#define CONFIG_FIELD_BYTES(category, name) category##_##name
#define CONFIG_FIELD_DOUBLE(category, name) category##_##name
#define CONFIG_FIELD_STRING(category, name) category##_##name
#define CONFIG_FIELD_PATH(category, name) category##_##name
#define CONFIG_FIELD_LIST(category, name) category##_##name
#define CONFIG_FIELD_ENUM(category, name) category##_##name

#define CONFIG_TYPE_BOOL bool
#define CONFIG_TYPE_INT int64_t
#define CONFIG_TYPE_UINT uint64_t
#define CONFIG_TYPE_DURATION uint64_t
#define CONFIG_TYPE_BYTES uint64_t
#define CONFIG_TYPE_DOUBLE double
#define CONFIG_TYPE_STRING const char *
#define CONFIG_TYPE_PATH const char *
#define CONFIG_TYPE_LIST struct config_list
#define CONFIG_TYPE_ENUM int

/* CONFIG_CATEGORY_http and so on; a set of them has bit 1 << category. */
enum config_category {
#define CATEGORY(name, scope, title) CONFIG_CATEGORY_##name,
#define OPTION(...)
#include "config/options.def"
#undef CATEGORY
#undef OPTION
    CONFIG_CATEGORY_COUNT
};

_Static_assert(CONFIG_CATEGORY_COUNT <= 63, "a set of categories is one word");

/* Members of such a set: one category, and all of scope SERVER. */
#define CONFIG_CATEGORY_BIT(name) (UINT64_C(1) << CONFIG_CATEGORY_##name)
#define CONFIG_SERVER_CATEGORIES (UINT64_C(1) << 63)

/* CONFIG_OPTION_http_port and so on. */
enum config_option {
#define CATEGORY(...)
#define OPTION(kind, category, name, ...) CONFIG_OPTION_##category##_##name,
#include "config/options.def"
#undef CATEGORY
#undef OPTION
    CONFIG_OPTION_COUNT
};

/* Who set a value last; later ones are stronger. */
enum config_origin {
    CONFIG_FROM_DEFAULT,
    CONFIG_FROM_FILE,
    CONFIG_FROM_ENVIRONMENT,
    CONFIG_FROM_ARGUMENT
};

struct config {
#define CATEGORY(...)
#define OPTION(kind, category, name, ...) CONFIG_TYPE_##kind CONFIG_FIELD_##kind(category, name);
#include "config/options.def"
#undef CATEGORY
#undef OPTION
    struct config_list positionals; /* arguments that belong to no flag, in their order */
    struct config_list warnings;    /* for the caller to log */
    uint8_t origins[CONFIG_OPTION_COUNT];
    uint32_t lines[CONFIG_OPTION_COUNT]; /* in the file, 0: not there */
    struct arena arena;
};

/* One row of the table, as data. */
struct config_row {
    enum config_category category;
    enum config_kind kind;
    const char *category_name;
    const char *name; /* "port_file" */
    const char *fallback;
    int64_t minimum;
    int64_t maximum;
    const char *unit;
    unsigned flags;
    const char *help;
    size_t offset;
};

struct config_category_row {
    const char *name;
    enum config_scope scope;
    const char *title;
};

extern const struct config_row config_rows[CONFIG_OPTION_COUNT];
extern const struct config_category_row config_categories[CONFIG_CATEGORY_COUNT];

/* All defaults. */
void config_init(struct config *config);
void config_clear(struct config *config);

/* Where values come from. Everything is borrowed during config_load. */
struct config_request {
    const char *const *arguments; /* without the program's and the command's name */
    size_t argument_count;
    const char *const *environment; /* "NAME=value", NULL at the end; NULL: none */
    uint64_t categories;            /* that the command knows; common ones always apply */
    const char *command;            /* its name, for messages; NULL: none */
};

/*
 * Reads all of it into an initialised config. INVALID_ARGUMENT names the flag, variable or line,
 * what is wrong, what is allowed, and the nearest name of one that is unknown. NOT_FOUND: the file.
 * A wrong value that a stronger source replaces has no effect, so it is a warning: a flag can get
 * a server up in spite of a variable that something else has set.
 */
enum status config_load(struct config *config, const struct config_request *request,
                        struct error *err) FALLIBLE;

/* One setting from text; `origin` weaker than the present one is ignored. `who` is for messages. */
enum status config_set(struct config *config, enum config_option option, struct str text,
                       enum config_origin origin, const char *who, struct error *err) FALLIBLE;

/* Whether config_set would take the text, and why not. Changes nothing. */
enum status config_check(enum config_option option, struct str text, const char *who,
                         struct error *err) FALLIBLE;

/* The value as text that config_set reads; "***" for a secret one that is set. */
void config_print_value(struct buffer *out, const struct config *config, enum config_option option);

/* The setting's names: "--http-port", "SLIPWAY_HTTP_PORT", "http.port". Appended. A common
 * setting has no key: nothing is appended. */
void config_print_flag(struct buffer *out, const struct config_row *row);
void config_print_variable(struct buffer *out, const struct config_row *row);
void config_print_key(struct buffer *out, const struct config_row *row);

/* True if a command with these categories knows the setting. */
bool config_applies(uint64_t categories, const struct config_row *row);

/* The i-th of an ENUM's choices; data NULL behind the last. */
struct str config_choice(const struct config_row *row, size_t index);

#endif

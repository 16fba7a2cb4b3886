/* The help pages. */
#include "cli/help.h"

enum { COLUMN = 34, NAME_SIZE_MAX = 256 };

static void add_title(struct buffer *out, const char *title, bool color)
{
    buffer_add_format(out, "%s%s%s\n", color ? "\033[1m" : "", title, color ? "\033[0m" : "");
}

static void add_name(struct buffer *out, const char *name, size_t width, bool color)
{
    buffer_add_format(out, "  %s%s%s%*s", color ? "\033[36m" : "", name, color ? "\033[0m" : "",
                      (int)(strlen(name) < width ? width - strlen(name) : 0), "");
}

void help_overview(struct buffer *out, bool color)
{
    add_title(out, "Slipway: from a model file to guarded production", color);
    buffer_add_text(out, "\nUsage: slipway COMMAND [options] [arguments]\n\n");
    add_title(out, "Commands", color);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        add_name(out, command_rows[i].name, 10, color);
        buffer_add_format(out, "%s\n", command_rows[i].summary);
    }
    buffer_add_text(out, "\n`slipway help COMMAND` tells its options and shows examples.\n");
}

/* Words, broken before `width`, each further line starting at COLUMN. */
static void add_wrapped(struct buffer *out, const char *text, size_t width)
{
    size_t at = COLUMN;
    struct str rest = str_of(text);
    while (rest.data) {
        struct str word = str_cut(&rest, ' ');
        if (at > COLUMN && at + word.size + 1 > width) {
            buffer_add_format(out, "\n%*s", COLUMN, "");
            at = COLUMN;
        }
        if (at > COLUMN) buffer_add_byte(out, ' ');
        buffer_add(out, word);
        at += word.size + 1;
    }
    buffer_add_byte(out, '\n');
}

static void add_setting(struct buffer *out, const struct config_row *row, bool color, size_t width)
{
    struct buffer name;
    buffer_init(&name, NAME_SIZE_MAX);
    config_print_flag(&name, row);
    if (row->kind != CONFIG_BOOL) {
        buffer_add_byte(&name, ' ');
        for (const char *at = row->unit; *at; at++)
            buffer_add_byte(&name, *at >= 'a' && *at <= 'z' && row->kind != CONFIG_ENUM
                                       ? (char)(*at - 'a' + 'A')
                                       : *at);
    }
    add_name(out, buffer_text(&name), COLUMN - 2, color);
    if (name.size + 3 > COLUMN) buffer_add_format(out, "\n%*s", COLUMN, "");
    char help[512];
    bool has_default = row->fallback[0] != '\0' && strcmp(row->fallback, "false") != 0;
    (void)snprintf(help, sizeof help, has_default ? "%s (default: %s)" : "%s", row->help,
                   row->fallback);
    add_wrapped(out, help, width);
    buffer_clear(&name);
}

static void add_category(struct buffer *out, const struct command_row *command, int category,
                         bool color, size_t width)
{
    bool titled = false;
    for (int i = 0; i < CONFIG_OPTION_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        if ((int)row->category != category || !config_applies(command->categories, row)) continue;
        if (!titled) {
            bool own = config_categories[category].scope == CONFIG_SCOPE_COMMAND;
            buffer_add_byte(out, '\n');
            add_title(out, own ? "Options" : config_categories[category].title, color);
        }
        titled = true;
        add_setting(out, row, color, width);
    }
}

void help_command(struct buffer *out, const struct command_row *row, bool color, size_t width)
{
    char title[NAME_SIZE_MAX];
    (void)snprintf(title, sizeof title, "slipway %s: %s", row->name, row->summary);
    add_title(out, title, color);
    buffer_add_format(out, "\nUsage: slipway %s [options]%s%s\n\n%s", row->name,
                      row->arguments[0] ? " " : "", row->arguments, row->text);
    for (int pass = 0; pass < 3; pass++) {
        static const enum config_scope order[] = {CONFIG_SCOPE_COMMAND, CONFIG_SCOPE_SERVER,
                                                  CONFIG_SCOPE_COMMON};
        for (int category = 0; category < CONFIG_CATEGORY_COUNT; category++) {
            if (config_categories[category].scope == order[pass])
                add_category(out, row, category, color, width);
        }
    }
    buffer_add_text(out, "\nEvery option can also be set in the environment (--http-port as "
                         "SLIPWAY_HTTP_PORT)\nand in the file that --config names "
                         "(`http: {port: 8080}`).\n");
}

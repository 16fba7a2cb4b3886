/* Lines, sections and settings. */
#include "aws/profile.h"

/* How well a section's name fits: an exact one goes before a bare [default]. */
enum fit { FIT_NONE, FIT_BARE, FIT_EXACT };

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static struct str next_line(struct str *rest)
{
    struct str line = str_cut(rest, '\n');
    if (line.size > 0 && line.data[line.size - 1] == '\r') line.size--;
    return line;
}

/* A comment begins where white space is before it; a '#' within a secret is the secret's. */
static struct str without_comment(struct str value)
{
    for (size_t i = 1; i < value.size; i++)
        if ((value.data[i] == '#' || value.data[i] == ';') && is_blank(value.data[i - 1]))
            return str_trim((struct str){value.data, i});
    return str_trim(value);
}

static bool read_section(struct str line, struct str *ret_name)
{
    if (line.size == 0 || line.data[0] != '[') return false;
    size_t end = str_find(line, ']');
    if (end == SIZE_MAX) return false;
    *ret_name = str_trim((struct str){line.data + 1, end - 1});
    return true;
}

static enum fit fit_of(struct str section, enum profile_file file, struct str profile)
{
    const struct str prefix = STR("profile");
    if (file == PROFILE_CREDENTIALS) return str_equal(section, profile) ? FIT_EXACT : FIT_NONE;
    if (str_equal(section, STR("default")))
        return str_equal(profile, section) ? FIT_BARE : FIT_NONE;
    if (!str_starts_with(section, prefix) || section.size == prefix.size ||
        !is_blank(section.data[prefix.size]))
        return FIT_NONE;
    return str_equal(str_trim(str_from(section, prefix.size)), profile) ? FIT_EXACT : FIT_NONE;
}

static bool read_setting(struct str line, struct str key, struct str *ret_value)
{
    if (line.size == 0 || is_blank(line.data[0]) || line.data[0] == '#' || line.data[0] == ';')
        return false;
    struct str value = line;
    struct str name = str_trim(str_cut(&value, '='));
    if (!value.data || !str_equal_ignoring_case(name, key)) return false;
    *ret_value = without_comment(value);
    return true;
}

static enum fit best_fit(struct str text, enum profile_file file, struct str profile)
{
    enum fit best = FIT_NONE;
    struct str rest = text, section;
    while (rest.data)
        if (read_section(next_line(&rest), &section))
            best = MAX(best, fit_of(section, file, profile));
    return best;
}

bool profile_exists(struct str text, enum profile_file file, struct str profile)
{
    return best_fit(text, file, profile) != FIT_NONE;
}

bool profile_find(struct str text, enum profile_file file, struct str profile, struct str key,
                  struct str *ret_value)
{
    enum fit wanted = best_fit(text, file, profile), fit = FIT_NONE;
    struct str rest = text, section, value = {NULL, 0};
    while (wanted != FIT_NONE && rest.data) {
        struct str line = next_line(&rest);
        if (read_section(line, &section))
            fit = fit_of(section, file, profile);
        else if (fit == wanted)
            (void)read_setting(line, key, &value); /* the last counts */
    }
    if (!value.data) return false;
    *ret_value = value;
    return true;
}

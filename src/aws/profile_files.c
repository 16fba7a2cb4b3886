/* Where the files are. */
#include "aws/profile_files.h"

#include "base/mem.h"
#include "config/environment.h"
#include "config/tree.h"

#include <unistd.h>

static const char *variable(const char *name)
{
    const char *value = environment_get(name);
    return value && *value ? value : NULL;
}

/* Owned; NULL: no home, and none is named. */
static char *path_of(const char *name, const char *in_home)
{
    const char *path = variable(name), *home = variable("HOME");
    if (path) return mem_copy_text(path);
    return home ? mem_format("%s/.aws/%s", home, in_home) : NULL;
}

static enum status read_one(const char *name, const char *in_home, struct buffer *out,
                            struct error *err)
{
    char *path CLEANUP(mem_freep) = path_of(name, in_home);
    if (!path || access(path, F_OK) != 0) return STATUS_OK;
    return tree_read_file(path, PROFILE_FILE_SIZE_MAX, out, err);
}

void profile_files_clear(struct profile_files *files)
{
    buffer_clear(&files->config);
    buffer_clear(&files->credentials);
}

static enum status check_profile(const struct profile_files *files, struct error *err)
{
    if (!files->chosen ||
        profile_exists(buffer_view(&files->config), PROFILE_CONFIG, files->profile) ||
        profile_exists(buffer_view(&files->credentials), PROFILE_CREDENTIALS, files->profile))
        return STATUS_OK;
    return fail(err, STATUS_NOT_FOUND,
                "AWS_PROFILE names profile '%.*s', which is in neither of AWS's configuration and "
                "credentials files",
                STR_ARGS(files->profile));
}

enum status profile_files_read(struct profile_files *ret_files, struct error *err)
{
    struct profile_files files = {.profile = STR("default")};
    const char *profile = variable("AWS_PROFILE");
    if (!profile) profile = variable("AWS_DEFAULT_PROFILE");
    if (profile) files.profile = str_of(profile);
    files.chosen = profile != NULL;
    buffer_init(&files.config, PROFILE_FILE_SIZE_MAX + 1);
    buffer_init(&files.credentials, PROFILE_FILE_SIZE_MAX + 1);
    enum status status = read_one("AWS_CONFIG_FILE", "config", &files.config, err);
    if (status == STATUS_OK)
        status = read_one("AWS_SHARED_CREDENTIALS_FILE", "credentials", &files.credentials, err);
    if (status == STATUS_OK) status = check_profile(&files, err);
    if (status != STATUS_OK) {
        profile_files_clear(&files);
        return status;
    }
    *ret_files = files;
    return STATUS_OK;
}

bool profile_files_find(const struct profile_files *files, struct str profile, struct str key,
                        struct str *ret_value)
{
    return profile_find(buffer_view(&files->credentials), PROFILE_CREDENTIALS, profile, key,
                        ret_value) ||
           profile_find(buffer_view(&files->config), PROFILE_CONFIG, profile, key, ret_value);
}

enum status aws_profile_region(char **ret_region, struct error *err)
{
    struct profile_files files;
    struct str region;
    TRY(profile_files_read(&files, err));
    bool found = profile_files_find(&files, files.profile, STR("region"), &region);
    *ret_region = found && region.size ? str_copy(region) : NULL;
    profile_files_clear(&files);
    return STATUS_OK;
}

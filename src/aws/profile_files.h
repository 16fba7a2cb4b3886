/*
 * The files of AWS's tools as they lie on this machine, and the profile that is chosen:
 * $AWS_PROFILE or "default", in $AWS_CONFIG_FILE (~/.aws/config) and $AWS_SHARED_CREDENTIALS_FILE
 * (~/.aws/credentials). What a line means is aws/profile.h's.
 *
 *   struct profile_files files CLEANUP(profile_files_clear);
 *   TRY(profile_files_read(&files, err));
 *   if (profile_files_find(&files, files.profile, STR("region"), &value)) ...
 */
#ifndef AWS_PROFILE_FILES_H
#define AWS_PROFILE_FILES_H

#include "aws/profile.h"

struct profile_files {
    struct buffer config;      /* empty: there is no file */
    struct buffer credentials; /* so is this; what is in it is secret */
    struct str profile;        /* the chosen one; the environment's memory */
    bool chosen;               /* by name: then it must be there */
};

/* NOT_FOUND: $AWS_PROFILE names a profile that is in neither file. A file that is not there is an
 * empty one. On failure there is nothing to clear. */
enum status profile_files_read(struct profile_files *ret_files, struct error *err) FALLIBLE;
void profile_files_clear(struct profile_files *files);

/* Of the credentials' file, else of the configuration's. */
bool profile_files_find(const struct profile_files *files, struct str profile, struct str key,
                        struct str *ret_value) FALLIBLE;

/* The chosen profile's region, owned; NULL if it has none. */
enum status aws_profile_region(char **ret_region, struct error *err) FALLIBLE;

#endif

/* Profiles as AWS's tools write and people edit them. */
#include "aws/profile.c"
#include "test.h"

static const char credentials[] = "# of mine\n"
                                  "stray = x\n"
                                  "[default]\r\n"
                                  "aws_access_key_id = AKID\r\n"
                                  "AWS_SECRET_ACCESS_KEY=a/b+c=d#e ; not this\n"
                                  "aws_session_token =\n"
                                  "\n"
                                  "[ dev ] # comment\n"
                                  "s3 =\n"
                                  "  region = nested\n"
                                  ";region = commented\n"
                                  "region = eu-west-1\n"
                                  "no equals sign\n"
                                  "[profile dev]\n"
                                  "region = not-of-this-file\n"
                                  "[dev]\n"
                                  "region = eu-west-3";

static void expect(const char *text, enum profile_file file, const char *profile, const char *key,
                   const char *value)
{
    struct str found = STR("(none)");
    bool is_there = profile_find(str_of(text), file, str_of(profile), str_of(key), &found);
    EXPECT(is_there == (value != NULL));
    EXPECT_STR(found, str_of(value ? value : "(none)"));
}

TEST(credentials_files)
{
    expect(credentials, PROFILE_CREDENTIALS, "default", "aws_access_key_id", "AKID");
    expect(credentials, PROFILE_CREDENTIALS, "default", "aws_secret_access_key", "a/b+c=d#e");
    expect(credentials, PROFILE_CREDENTIALS, "default", "aws_session_token", "");
    expect(credentials, PROFILE_CREDENTIALS, "default", "stray", NULL);
    expect(credentials, PROFILE_CREDENTIALS, "dev", "region", "eu-west-3");
    expect(credentials, PROFILE_CREDENTIALS, "dev", "aws_access_key_id", NULL);
    expect(credentials, PROFILE_CREDENTIALS, "DEV", "region", NULL);
    expect(credentials, PROFILE_CREDENTIALS, "dev", "no equals sign", NULL);
    expect("[dev]\n s3 = a\n region = nested", PROFILE_CREDENTIALS, "dev", "region", NULL);
    expect("", PROFILE_CREDENTIALS, "default", "region", NULL);
    expect("[dev\nregion = x", PROFILE_CREDENTIALS, "dev", "region", NULL);
}

TEST(config_files)
{
    static const char config[] =
        "[default]\nregion = bare\n[profile dev]\nregion = dev\n"
        "[dev]\nregion = wrong\n[profiledev2]\nregion = wrong\n"
        "[sso-session dev3]\nregion = wrong\n[profile\t my app ]\nregion=r";
    expect(config, PROFILE_CONFIG, "default", "region", "bare");
    expect(config, PROFILE_CONFIG, "dev", "region", "dev");
    expect(config, PROFILE_CONFIG, "dev2", "region", NULL);
    expect(config, PROFILE_CONFIG, "dev3", "region", NULL);
    expect(config, PROFILE_CONFIG, "my app", "region", "r");
    expect("[profile default]\nregion = named\n[default]\nregion = bare\noutput = json",
           PROFILE_CONFIG, "default", "region", "named");
    expect("[profile default]\nregion = named\n[default]\noutput = json", PROFILE_CONFIG, "default",
           "output", NULL);
    EXPECT(profile_exists(str_of(config), PROFILE_CONFIG, STR("dev")));
    EXPECT(!profile_exists(str_of(config), PROFILE_CONFIG, STR("dev2")));
    EXPECT(!profile_exists(STR_EMPTY, PROFILE_CONFIG, STR("default")));
}

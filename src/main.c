/* argv[1] is a row of the command table; its result is the exit code. */
#include "cli/command.h"
#include "config/environment.h"

int main(int argc, char **argv)
{
    /* Some builds of ONNX Runtime report to their maker unless this is set before its first call.
     */
    environment_set("ORT_DISABLE_TELEMETRY", "1");
    return command_main(argc, (const char *const *)argv);
}

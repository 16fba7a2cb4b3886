# Tests beside a PostgreSQL server. Each program runs with a cluster of its own (tests/postgres/with_cluster); where the
# system has no server (tools/setup test installs it), they are left out.
file(GLOB postgres_binaries /usr/lib/postgresql/*/bin)
find_program(POSTGRES_INITDB initdb PATHS ${postgres_binaries})

# slipway_add_postgres_test(NAME TARGET [OPTIONS of with_cluster...])
function(slipway_add_postgres_test name target)
    if(NOT POSTGRES_INITDB)
        message(STATUS "no PostgreSQL server: test ${name} is left out")
        return()
    endif()
    add_test(NAME ${name} COMMAND "${CMAKE_SOURCE_DIR}/tests/postgres/with_cluster" ${ARGN} $<TARGET_FILE:${target}>)
    set_tests_properties(${name} PROPERTIES LABELS conform TIMEOUT 300)
endfunction()

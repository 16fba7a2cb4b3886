# slipway_compiler: what every target of ours is compiled with.
#   SLIPWAY_SANITIZE  semicolon list for -fsanitize= ("address;undefined", "thread"), empty for none
#   SLIPWAY_COVERAGE  ON: gcov
#   SLIPWAY_WERROR    ON: warnings are errors
#   SLIPWAY_LTO       what is compiled for it is optimized at link time where a target has the property
#                     SLIPWAY_LINK_TIME
set(SLIPWAY_SANITIZE "" CACHE STRING "sanitizers")
option(SLIPWAY_COVERAGE "instrument for coverage" OFF)
option(SLIPWAY_WERROR "warnings are errors" ON)

add_library(slipway_compiler INTERFACE)
target_compile_options(slipway_compiler INTERFACE
    -fstack-protector-strong -fno-strict-overflow
    "$<$<COMPILE_LANGUAGE:C>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wsign-conversion;-Wstrict-prototypes;-Wmissing-prototypes;-Wcast-qual;-Wpointer-arith;-Wvla;-Wundef;-Wformat=2;-Wswitch-enum;-Wnull-dereference;-Wimplicit-fallthrough>"
    "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow>"
    "$<$<C_COMPILER_ID:Clang>:-Wno-gnu-zero-variadic-macro-arguments;-Wno-gnu-statement-expression>"
    # Signs of enums, which clang has unsigned, and texts in tables, sums and conditions that are meant.
    "$<$<COMPILE_LANG_AND_ID:C,Clang>:-Wno-sign-conversion;-Wno-string-conversion;-Wno-string-concatenation;-Wno-string-plus-int;-Wno-bitwise-instead-of-logical;-Wno-unused-but-set-variable>"
    "$<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wno-inconsistent-missing-override>"
    # A statement expression and __auto_type are behind __extension__; ,##__VA_ARGS__ is gcc's own.
    -Wno-overlength-strings # embedded SQL
    "$<$<AND:$<COMPILE_LANGUAGE:C>,$<C_COMPILER_ID:GNU>>:-Wno-variadic-macros>")
if(SLIPWAY_WERROR)
    target_compile_options(slipway_compiler INTERFACE -Werror)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
    if(NOT SLIPWAY_SANITIZE)
        target_compile_options(slipway_compiler INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
    endif()
endif()
# Asserts stay on in every build: a broken invariant must not run on.
foreach(language C CXX)
    string(REPLACE "-DNDEBUG" "" CMAKE_${language}_FLAGS_RELEASE "${CMAKE_${language}_FLAGS_RELEASE}")
    string(REPLACE "-DNDEBUG" "" CMAKE_${language}_FLAGS_RELWITHDEBINFO
           "${CMAKE_${language}_FLAGS_RELWITHDEBINFO}")
endforeach()
if(SLIPWAY_SANITIZE)
    string(REPLACE ";" "," sanitizers "${SLIPWAY_SANITIZE}")
    target_compile_options(slipway_compiler INTERFACE -fno-omit-frame-pointer -fsanitize=${sanitizers}
                           -fno-sanitize-recover=all
                           # Instrumented code confuses gcc here; the release build has these warnings on.
                           $<$<COMPILE_LANG_AND_ID:C,GNU>:-Wno-maybe-uninitialized;-Wno-null-dereference;-Wno-stringop-overread>
                           $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>)
    target_link_options(slipway_compiler INTERFACE -fsanitize=${sanitizers})
endif()
if(SLIPWAY_COVERAGE)
    target_compile_options(slipway_compiler INTERFACE --coverage -fprofile-update=atomic)
    target_link_options(slipway_compiler INTERFACE --coverage)
endif()
# gcc's objects can serve both ways of linking; clang's are one or the other.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT SLIPWAY_SANITIZE AND NOT SLIPWAY_COVERAGE)
    option(SLIPWAY_LTO "optimize the product at link time" ON)
endif()
if(SLIPWAY_LTO)
    target_link_options(slipway_compiler INTERFACE
                        "$<IF:$<BOOL:$<TARGET_PROPERTY:SLIPWAY_LINK_TIME>>,-flto=auto,-fno-lto>")
endif()
target_link_options(slipway_compiler INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,--as-needed)

find_program(CCACHE ccache)
if(CCACHE)
    set(CMAKE_C_COMPILER_LAUNCHER "${CCACHE}")
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE}")
endif()

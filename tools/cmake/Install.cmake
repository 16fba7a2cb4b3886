# What `cmake --install` lays out beside the engines: the program, its man page and completions. The pages are made by
# the program itself, from the tables of commands and settings. Included once the target slipway exists.

find_package(Git QUIET)
set(SLIPWAY_COMMIT "" CACHE STRING "the commit that `slipway version` tells; empty: as git says")
set(told_commit "${SLIPWAY_COMMIT}")
if(NOT told_commit)
    set(told_commit unknown)
endif()
if(GIT_FOUND AND NOT SLIPWAY_COMMIT)
    execute_process(COMMAND "${GIT_EXECUTABLE}" rev-parse --short=12 HEAD WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}"
                    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(commit)
        set(told_commit "${commit}")
    endif()
endif()
# As of the last configure: a commit alone must not rebuild anything.
set_source_files_properties(src/cli/cmd_version.c PROPERTIES
                            COMPILE_DEFINITIONS "SLIPWAY_COMMIT=\"${told_commit}\"")

set(pages "${CMAKE_BINARY_DIR}/generated/pages")
set(page_files "")
# add_page(FILE argument...): FILE holds what `slipway config argument...` prints.
function(add_page file)
    add_custom_command(OUTPUT "${pages}/${file}"
                       COMMAND "${CMAKE_COMMAND}" -E make_directory "${pages}"
                       COMMAND slipway config ${ARGN} > "${pages}/${file}"
                       DEPENDS slipway VERBATIM)
    set(page_files ${page_files} "${pages}/${file}" PARENT_SCOPE)
endfunction()

add_page(slipway.1 --man)
add_page(slipway.bash --completion bash)
add_page(_slipway --completion zsh)
add_page(slipway.fish --completion fish)
add_custom_target(slipway_pages ALL DEPENDS ${page_files})

install(TARGETS slipway RUNTIME DESTINATION bin COMPONENT slipway)
install(FILES include/slipway/engine.h DESTINATION include/slipway COMPONENT slipway)
install(FILES "${pages}/slipway.1" DESTINATION share/man/man1 COMPONENT slipway)
install(FILES "${pages}/slipway.bash" DESTINATION share/bash-completion/completions RENAME slipway
        COMPONENT slipway)
install(FILES "${pages}/_slipway" DESTINATION share/zsh/site-functions COMPONENT slipway)
install(FILES "${pages}/slipway.fish" DESTINATION share/fish/vendor_completions.d COMPONENT slipway)
install(FILES LICENSE DESTINATION share/doc/slipway COMPONENT slipway)

# Shared by the scripts in this folder; sourced, never run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
install=${install:-yes}

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$1"
    exit "${2:-1}"
}

# phase NAME COMMAND…: runs it and prints how long it took.
phase() {
    local name=$1 start=$SECONDS
    shift
    say "── $name"
    "$@" || die "── $name failed after $((SECONDS - start)) s" $?
    say "── $name took $((SECONDS - start)) s"
}

# need_packages PACKAGE…: installs Debian packages, or prints the command.
need_packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local sudo=''
    [ "$(id -u)" -eq 0 ] || sudo='sudo '
    local command="${sudo}apt-get update && ${sudo}apt-get install -y --no-install-recommends ${missing[*]}"
    if [ "$install" != yes ]; then
        die "missing: ${missing[*]}; install with: $command" 7
    fi
    command -v apt-get >/dev/null || die "missing: ${missing[*]}; install them with your package manager" 7
    say "installing: ${missing[*]}"
    bash -c "$command" >/dev/null || die "could not install ${missing[*]}; try: $command" 7
}

# What the loop itself runs: git with its http backend, ssh-keygen, a C compiler and linker.
need_tools() {
    command -v cargo >/dev/null || die "Rust is missing; install it with rustup or your package manager" 7
    local packages=()
    command -v git >/dev/null || packages+=(git)
    command -v ssh-keygen >/dev/null || packages+=(openssh-client)
    command -v cc >/dev/null || packages+=(gcc libc6-dev)
    [ ${#packages[@]} -eq 0 ] || need_packages "${packages[@]}"
}

# A Vulkan device: the machine's own where there is a card, a software driver otherwise. An explicit
# VK_DRIVER_FILES or VK_ICD_FILENAMES wins. With it the validation layer, which tests turn on by themselves.
need_vulkan() {
    local packages=() explicit=${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-} card=no
    if compgen -G '/dev/dri/renderD*' >/dev/null || [ -e /dev/nvidia0 ]; then
        card=yes
    fi
    [[ $(ldconfig -p 2>/dev/null) == *libvulkan.so.1* ]] || packages+=(libvulkan1)
    if [ -z "$explicit" ] && [ "$card" = no ] && ! compgen -G '/usr/share/vulkan/icd.d/lvp_icd*.json' >/dev/null; then
        packages+=(mesa-vulkan-drivers)
    fi
    [ -e /usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json ] || packages+=(vulkan-validationlayers)
    [ ${#packages[@]} -eq 0 ] || need_packages "${packages[@]}"
    if [ -z "$explicit" ] && [ "$card" = no ]; then
        local manifests=(/usr/share/vulkan/icd.d/lvp_icd*.json)
        # Other drivers of the package answer for cards that are not there.
        export VK_ICD_FILENAMES=${manifests[0]}
        say "no graphics card: using the software driver ${manifests[0]}"
    fi
}

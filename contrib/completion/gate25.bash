# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Completion of gate25 for bash: commands, their options, and the names of lists and interfaces.

_gate25_names() { # COMMAND: what `gate25 -j COMMAND` names; nothing without permission
	local config=()
	[ -z "$_gate25_config" ] || config=(-c "$_gate25_config")
	gate25 "${config[@]}" -j "$1" 2> /dev/null |
		grep -oE '"name":"[A-Za-z0-9._-]+"' | cut -d'"' -f4 | sort -u
}

_gate25() {
	local commands='status test lists feeds log version load unload pause resume policy reload
		check add del flush unblock allow list'
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local command='' i words='' _gate25_config=''
	COMPREPLY=()

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --config)
			i=$((i + 1))
			_gate25_config=${COMP_WORDS[i]}
			;;
		-*) ;;
		*)
			command=${COMP_WORDS[i]}
			break
			;;
		esac
	done

	case $previous in
	-c | --config)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--list) words=$(_gate25_names lists) ;;
	--for | --until | --reason | --origin | --service | --limit) return ;;
	*)
		case $command in
		'') words="$commands --config --json --help --version" ;;
		status) words='--check' ;;
		test) words='--service --domain -' ;;
		lists | feeds) words='show diff accept refresh presets enable try --log --format --accept-terms --asn --from' ;;
		log) words='--limit' ;;
		load | unload) words=$(ls /sys/class/net) ;;
		pause) words='--for' ;;
		policy) words='observe enforce default --list --service' ;;
		check)
			mapfile -t COMPREPLY < <(compgen -f -- "$word")
			return
			;;
		add) words='--for --until --reason --origin --service --force --strict -' ;;
		del) words='--origin --strict -' ;;
		flush) words='--origin' ;;
		unblock) words='--for --reason' ;;
		allow) words='add del list --for --until --reason --service --strict --limit -' ;;
		list) words='--origin --limit' ;;
		esac
		[ -z "$command" ] || words+=' --json --help'
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _gate25 gate25

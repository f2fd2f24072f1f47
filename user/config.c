// SPDX-License-Identifier: GPL-2.0-only
/*
 * The configuration as a whole: from the file's path to struct config, and questions to it.
 *
 *   config_tree.c, config_merge.c   files -> one tree      config_keys.c, config_lists.c, config_services.c, config_limits.c  tree -> struct config
 *   config_value.c, config_text.c   single values          config_check.c  contradictions of the whole
 */
#include "user/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/config_keys.h"

static struct config *config_new(void)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	config->threshold = 1;
	config->sources_mb = 4;
	config->overlay_entries = 65536;
	config->events_per_s = 100;
	config->translated[0][0] = 0x0064ff9b00000000ULL; /* 64:ff9b::/96, RFC 6052 */
	config->translated_count = 1;
	config->metrics_listen = strdup(CONFIG_LISTEN);
	config->state_dir = strdup(CONFIG_STATE_DIR);
	config->run_dir = strdup(CONFIG_RUN_DIR);
	config->pin_dir = strdup(CONFIG_PIN_DIR);
	if (config->metrics_listen && config->state_dir && config->run_dir && config->pin_dir)
		return config;
	config_free(config);
	return NULL;
}

__u8 config_limited(const struct config *config)
{
	__u8 services = 0;

	for (int scope = 0; scope < GATE25_SCOPES; scope++)
		if (config->limits[scope].set && config->limits[scope].rate_per_s > 0)
			services |= config->limits[scope].services;
	return services;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->lists_count; i++) {
		free(config->lists[i].file);
		free(config->lists[i].url);
		free(config->lists[i].entries);
		free(config->lists[i].column);
		free(config->lists[i].member);
		fetch_options_free(&config->lists[i].options);
	}
	for (size_t i = 0; i < config->files_count; i++)
		free(config->files[i]);
	free(config->files);
	free(config->lists);
	free(config->resolver);
	free(config->metrics_listen);
	free(config->state_dir);
	free(config->run_dir);
	free(config->pin_dir);
	free(config->user);
	free(config);
}

/* Without ports: and services: there is one service, mx, on port 25. It comes first: lists and limits name services. */
static void service_default(struct build *build)
{
	struct config *config = build->config;

	if (node_get(build->root, "ports") || node_get(build->root, "services"))
		return;
	config->services_count = 1;
	strcpy(config->services[0].name, "mx");
	config->services[0].ports[0] = 25;
	config->services[0].ports_count = 1;
}

/* The names move: lists point to them. */
static int files_keep(struct reading *reading, struct config *config)
{
	config->files = calloc(reading->files_count, sizeof(*config->files));
	if (!config->files)
		return -ENOMEM;
	for (unsigned int i = 0; i < reading->files_count; i++) {
		config->files[config->files_count++] = reading->files[i].name;
		reading->files[i].name = NULL;
	}
	return 0;
}

/* Everything but the report. *config is what could be read, also where -EINVAL is returned. */
static int config_build(struct reading *reading, const char *path, struct config *config)
{
	struct build build = { .reading = reading, .config = config };
	struct node *root = NULL;
	int error = tree_load(reading, path, &root);

	if (error)
		return error;
	build.root = root;
	service_default(&build);
	keys_read(&build, root, root_keys, "", config);
	config_check(&build);
	if (reading->failure)
		return reading->failure;
	return reading->errors ? -EINVAL : 0;
}

int config_read_apart(const char *path, FILE *errors, FILE *warnings, struct config **out)
{
	struct config *config = config_new();
	struct reading reading;
	int error;

	if (!config)
		return -ENOMEM;
	reading_begin(&reading);
	error = config_build(&reading, path, config);
	reading_report(&reading, errors, warnings);
	if (!error)
		error = files_keep(&reading, config);
	if (error == -ENOMEM)
		fprintf(errors, "%s: out of memory\n", path);
	if (error)
		config_free(config);
	else
		*out = config;
	reading_end(&reading);
	return error;
}

int config_read(const char *path, FILE *errors, struct config **out)
{
	return config_read_apart(path, errors, NULL, out);
}

int config_read_paths(const char *path, bool *faults, struct config **out)
{
	struct config *config = config_new();
	struct reading reading;
	int error;

	if (!config)
		return -ENOMEM;
	reading_begin(&reading);
	error = config_build(&reading, path, config);
	if (faults)
		*faults = error != 0;
	for (size_t i = 0; i < config->lists_count; i++)
		config->lists[i].config_file = ""; /* the names go with the reading */
	reading_end(&reading);
	*out = config;
	return 0;
}

struct parse_settings config_list_settings(const struct config *config,
					   const struct config_list *list)
{
	return (struct parse_settings){
		.format = list->format,
		.translated = config->translated,
		.translated_count = config->translated_count,
		.foreign = list->bounds.prefix4 || list->bounds.prefix6,
		.length4 = list->bounds.prefix4 ? list->bounds.prefix4 : 1,
		.length6 = list->bounds.prefix6 ? list->bounds.prefix6 : 1,
		.allow = list->allow,
		.column = list->column,
		.member = list->member,
		.codes = &list->codes,
	};
}

bool config_beside(const struct config *config, const char *name, char path[static PATH_MAX])
{
	const char *slash = strrchr(config->files[0], '/');
	int folder = slash ? slash + 1 - config->files[0] : 0;

	return snprintf(path, PATH_MAX, "%.*s%s", folder, config->files[0], name) < PATH_MAX;
}

const struct config_list *config_list_find(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->lists_count; i++) {
		if (!strcmp(config->lists[i].name, name))
			return &config->lists[i];
	}
	return NULL;
}

int config_service_find(const struct config *config, const char *name)
{
	for (unsigned int i = 0; i < config->services_count; i++) {
		if (!strcmp(config->services[i].name, name))
			return (int)i;
	}
	return -1;
}

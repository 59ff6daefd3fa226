/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/help.h"
#include "cli/output.h"
#include "cli/parse.h"
#include "cli/target.h"
#include "providers/audit_seal.h"
#include "providers/roles.h"

/* What the signal handler reaches; nothing else uses it. */
static struct cancel *arg_cancel;

/* The first signal asks the running step to stop and clean up; SA_RESETHAND lets a second one end
 * the process at once (the next command then undoes what is left). */
static void on_signal(int sig)
{
	(void) sig;
	cancel_set(arg_cancel, -ECANCELED);
}

static int signals_init(struct cancel *c)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	int r = cancel_init(c);

	if (r < 0)
		return r;
	arg_cancel = c;
	(void) sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (sigaction(ends[i], &sa, NULL) < 0)
			return -errno;
	return sigaction(SIGPIPE, &ignore, NULL) < 0 ? -errno : 0;
}

/* Descriptors 0 to 2 must exist, else a file or socket would take their place. */
static int std_fds(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) < 0)
			return -errno;
	return 0;
}

static void cli_init(struct cli *cli, const struct cli_parsed *p)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

	cli->data_dir = p->data_dir;
	cli->json = p->json;
	cli->context = p->context;
	cli->tty = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
	cli->color = cli->tty && !(no_color && *no_color) && !p->json;
}

static int dispatch(struct cli *cli, const struct cli_parsed *p)
{
	const struct cli_command *cmd = p->args.cmd;

	if (p->version) {
		(void) printf("kiln %s\n", KILN_VERSION);
		return EXIT_DONE;
	}
	if (cmd && p->help) {
		cli_help_command(cli, stdout, cmd);
		return EXIT_DONE;
	}
	if (!cmd) {
		cli_help_all(cli, p->help ? stdout : stderr);
		return p->help ? EXIT_DONE : EXIT_USAGE;
	}
	if (signals_init(&cli->cancel) < 0) {
		(void) fprintf(stderr, "kiln: cannot set up signals\n");
		return EXIT_FAILED;
	}
	return cmd->run(cli, &p->args);
}

static int refuse_usage(struct cli *cli, const struct cli_parsed *p, const struct err *e)
{
	const char *cmd = p->args.cmd ? p->args.cmd->name : NULL;

	return cli_usage(cli, "%s%s%s%s%s%s", cmd ? cmd : "", cmd ? ": " : "", err_str(e),
			 e->hint ? " (" : "", e->hint ? e->hint : "", e->hint ? ")" : "");
}

/* Output that could not be written is a failure, whatever the command found. */
static int flushed(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	(void) fprintf(stderr, "kiln: standard output could not be written\n");
	return status == EXIT_DONE ? EXIT_FAILED : status;
}

int main(int argc, char **argv)
{
	auto_err struct err e = ERR_INIT;
	struct cli cli = {.cancel = {.event_fd = -1}};
	struct cli_parsed p;
	int status;

	if (std_fds() < 0)
		return EXIT_FAILED;
	if (argc > 1) {
		status = role_main(argc - 1, argv + 1);
		if (status >= 0)
			return status;
	}
	log_set_level(log_level_from_env());
	if (cli_parse(argc, argv, cli_commands, &p, &e) < 0) {
		cli_init(&cli, &p);
		status = refuse_usage(&cli, &p, &e);
	} else {
		cli_init(&cli, &p);
		status = dispatch(&cli, &p);
	}
	target_free(cli.target);
	if (cli.app)
		audit_seal_end(cli.app);
	app_close(cli.app);
	if (cli.cancel.event_fd >= 0)
		cancel_done(&cli.cancel);
	cli_parsed_done(&p);
	return flushed(status);
}

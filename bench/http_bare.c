/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libmicrohttpd reaches when a handler does nothing: http_bare CERT KEY BODY-FILE serves that
 * body with TLS on two epoll threads, as kiln does, and prints "ready URL".
 */
#include <microhttpd.h>

#include "base/file.h"
#include "base/mem.h"

static struct MHD_Response *response;

static enum MHD_Result handle(void *cls, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *data,
			      size_t *data_bytes, void **ctx)
{
	if (!*ctx) {
		*ctx = response;
		return MHD_YES;
	}
	return MHD_queue_response(c, 200, response);
}

int main(int argc, char **argv)
{
	struct buf cert = BUF_INIT(1 << 20), key = BUF_INIT(1 << 20), body = BUF_INIT(1 << 24);
	const union MHD_DaemonInfo *i;
	struct MHD_Daemon *d;

	if (argc != 4 || file_read_all(argv[1], &cert, NULL) < 0 ||
	    file_read_all(argv[2], &key, NULL) < 0 || file_read_all(argv[3], &body, NULL) < 0) {
		(void) fprintf(stderr, "usage: http_bare CERT KEY BODY-FILE\n");
		return 2;
	}
	response = MHD_create_response_from_buffer(body.len, body.data, MHD_RESPMEM_PERSISTENT);
	(void) MHD_add_response_header(response, "Content-Type", "application/json");
	d = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TLS, 0, NULL, NULL, handle,
			     NULL, MHD_OPTION_HTTPS_MEM_CERT, buf_str(&cert),
			     MHD_OPTION_HTTPS_MEM_KEY, buf_str(&key), MHD_OPTION_THREAD_POOL_SIZE,
			     2u, MHD_OPTION_END);
	i = d ? MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT) : NULL;
	if (!i)
		return 1;
	(void) printf("ready https://127.0.0.1:%u\n", (unsigned) i->port);
	(void) fflush(stdout);
	for (;;)
		(void) pause();
}

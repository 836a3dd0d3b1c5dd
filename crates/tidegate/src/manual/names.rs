//! Names of libuv and Node, and what they are called here.
//!
//! # The loop
//!
//! | libuv | Node | tidegate |
//! |---|---|---|
//! | `uv_loop_t`, `uv_loop_init` | - | [`Loop::new`](crate::Loop::new), [`Loop::builder`](crate::Loop::builder) |
//! | `uv_run(UV_RUN_DEFAULT)` | - | [`Loop::run`](crate::Loop::run) |
//! | `uv_run(UV_RUN_ONCE)` | - | [`Loop::run_once`](crate::Loop::run_once) |
//! | `uv_run(UV_RUN_NOWAIT)` | - | [`Loop::run_nowait`](crate::Loop::run_nowait) |
//! | - | - | [`Loop::run_phase`](crate::Loop::run_phase): one phase, to see what each does |
//! | `uv_stop` | - | [`Cx::stop`](crate::Cx::stop) |
//! | `uv_loop_alive` | - | [`Loop::is_alive`](crate::Loop::is_alive), and why: [`Cx::why_alive`](crate::Cx::why_alive) |
//! | `uv_loop_close` | - | drop the [`Loop`](crate::Loop) |
//! | `uv_walk` | `process.getActiveResourcesInfo` | [`Cx::walk`](crate::Cx::walk), [`Cx::close_all`](crate::Cx::close_all) |
//! | `uv_backend_fd`, `uv_backend_timeout` | - | [`Loop::backend_fd`](crate::Loop::backend_fd), [`Loop::backend_timeout`](crate::Loop::backend_timeout) |
//! | `uv_now`, `uv_update_time` | `performance.now` | [`Cx::now`](crate::Cx::now), nanoseconds |
//! | `uv_metrics_info`, `uv_metrics_idle_time` | `performance.eventLoopUtilization`, `monitorEventLoopDelay` | [`Loop::metrics`](crate::Loop::metrics) |
//!
//! # Handles
//!
//! | libuv | Node | tidegate |
//! |---|---|---|
//! | `uv_handle_t *` | an object | a [`Key`](crate::Key), `Copy`: the loop owns the rest |
//! | `handle->data` | properties | what the closure captures, or a field of the handler |
//! | `uv_close` | `close`, `destroy` | [`Cx::close`](crate::Cx::close); connections also by [`SocketCx::destroy`](crate::net::SocketCx::destroy) |
//! | `uv_is_active`, `uv_is_closing` | - | [`Cx::is_open`](crate::Cx::is_open), [`Cx::is_closing`](crate::Cx::is_closing) |
//! | `uv_ref`, `uv_unref`, `uv_has_ref` | `ref`, `unref`, `hasRef` | [`Cx::set_ref`](crate::Cx::set_ref), [`Cx::has_ref`](crate::Cx::has_ref) |
//! | `uv_timer_start` | `setTimeout`, `setInterval` | [`Cx::after`](crate::Cx::after), [`Cx::timer`](crate::Cx::timer), [`Cx::interval`](crate::Cx::interval) |
//! | `uv_timer_stop` | `clearTimeout`, `clearInterval` | [`Cx::timer_stop`](crate::Cx::timer_stop) |
//! | `uv_timer_again` | `timeout.refresh` | [`Cx::timer_again`](crate::Cx::timer_again); a one-shot: [`Cx::timer_reset`](crate::Cx::timer_reset) |
//! | `uv_timer_set_repeat`, `uv_timer_get_due_in` | - | [`Cx::timer_set_repeat`](crate::Cx::timer_set_repeat), [`Cx::timer_due_in`](crate::Cx::timer_due_in) |
//! | - | `process.nextTick` | [`Cx::next_tick`](crate::Cx::next_tick) |
//! | `uv_idle_t` | - | [`Cx::idle`](crate::Cx::idle) |
//! | `uv_prepare_t` | - | [`Cx::prepare`](crate::Cx::prepare) |
//! | `uv_check_t` | `setImmediate` (each time anew) | [`Cx::check`](crate::Cx::check) |
//! | `uv_poll_t` | - | [`Cx::watch`](crate::Cx::watch), for any source; a descriptor as [`Fd`](crate::event::Fd) |
//! | `uv_async_t`, `uv_async_send` | `worker.postMessage` | [`Remote::post`](crate::Remote::post), with a closure; [`Remote::wake`](crate::Remote::wake) without; [`Remote::notify`](crate::Remote::notify) for a handle of a kind of your own |
//! | `uv_signal_t` | `process.on('SIGINT')` | `Cx::signal`, `Cx::signal_once` (feature `signal`); does not keep the loop alive, as in Node |
//! | `uv_queue_work` | `worker_threads` | `Cx::work`, `Cx::slow_work` (feature `work`) |
//! | `uv_cancel` | - | `Cx::work_cancel` |
//! | `UV_THREADPOOL_SIZE` | the same | [`Builder::work_threads`](crate::Builder::work_threads), per loop |
//!
//! # Servers and connections
//!
//! | libuv | Node | tidegate |
//! |---|---|---|
//! | `uv_tcp_bind`, `uv_listen` | `net.createServer().listen` | [`Net::listen`](crate::net::Net::listen), [`Net::serve`](crate::net::Net::serve) |
//! | `connection_cb`, `uv_accept` | `'connection'` | [`Incoming`](crate::net::Incoming): `accept` or `reject` |
//! | always one accept for a wake-up | the same | [`ListenOptions::accept_budget`](crate::net::ListenOptions::accept_budget) |
//! | `uv_tcp_getsockname` | `server.address` | [`ServerCx::local_addr`](crate::net::ServerCx::local_addr) |
//! | `uv_close(server)` | `server.close` | [`ServerCx::close`](crate::net::ServerCx::close) |
//! | `uv_pipe_bind`, `uv_pipe_connect` | `listen(path)`, `connect(path)` | [`ListenOptions::unix`](crate::net::ListenOptions::unix), [`ConnectOptions::unix`](crate::net::ConnectOptions::unix) |
//! | - | `setTimeout`, `'timeout'` | [`SocketCx::set_idle_timeout`](crate::net::SocketCx::set_idle_timeout), [`Handler::on_timeout`](crate::net::Handler::on_timeout); it closes by default |
//! | `uv_tcp_nodelay`, `uv_tcp_keepalive` | `setNoDelay`, `setKeepAlive` | [`SocketCx::set_no_delay`](crate::net::SocketCx::set_no_delay), [`SocketCx::set_keep_alive`](crate::net::SocketCx::set_keep_alive), and options |
//! | - | `destroy(error)` | [`SocketCx::destroy_with`](crate::net::SocketCx::destroy_with) |
//! | `uv_tcp_close_reset` | `resetAndDestroy` | [`SocketCx::reset`](crate::net::SocketCx::reset) |
//! | `uv_getaddrinfo` | `dns.lookup`, `lookup` option | inside `connect`; [`ConnectOptions::lookup`](crate::net::ConnectOptions::lookup) |
//! | - | `maxConnections`, `'drop'` | [`ListenOptions::max_connections`](crate::net::ListenOptions::max_connections), [`ServerCx::set_max_connections`](crate::net::ServerCx::set_max_connections), [`ServerHandler::on_overload`](crate::net::ServerHandler::on_overload) |
//! | `uv_tcp_open` | `new Socket({fd})` | [`Net::adopt`](crate::net::Net::adopt) with [`AdoptOptions`](crate::net::AdoptOptions), [`ListenOptions`](crate::net::ListenOptions) from a listener |
//! | `uv_tcp_connect` | `net.connect` | [`Net::connect`](crate::net::Net::connect) |
//! | `uv_read_start`, `uv_read_stop` | `resume`, `pause` | [`SocketCx::resume`](crate::net::SocketCx::resume), [`SocketCx::pause`](crate::net::SocketCx::pause); reading begins by itself |
//! | `read_cb(nread > 0)` | `'data'` | [`Handler::on_data`](crate::net::Handler::on_data) |
//! | - | `unshift` | [`SocketCx::unread`](crate::net::SocketCx::unread) |
//! | - | `isPaused` | [`SocketCx::is_paused`](crate::net::SocketCx::is_paused) |
//! | - | `readline` | [`Framed`](crate::net::Framed) with [`Lines`](crate::net::Lines) |
//! | `read_cb(UV_EOF)` | `'end'` | [`Handler::on_end`](crate::net::Handler::on_end) |
//! | `uv_write`, `uv_try_write` | `write` | [`SocketCx::write`](crate::net::SocketCx::write): tries first, queues the rest |
//! | - | `write() === false` | [`Flow::Full`](crate::net::Flow::Full) |
//! | - | `'drain'` | [`Handler::on_drain`](crate::net::Handler::on_drain) |
//! | `uv_stream_get_write_queue_size` | `writableLength` | [`SocketCx::buffered`](crate::net::SocketCx::buffered) |
//! | - | `cork`, `uncork` | [`SocketCx::cork`](crate::net::SocketCx::cork), [`SocketCx::uncork`](crate::net::SocketCx::uncork) |
//! | `uv_shutdown` | `end` | [`SocketCx::end`](crate::net::SocketCx::end) |
//! | `shutdown_cb` | `'finish'` | [`Handler::on_finish`](crate::net::Handler::on_finish) |
//! | - | `new Writable`, `new Readable` | [`Streams::open_writable`](crate::stream::Streams::open_writable), [`Streams::open_readable`](crate::stream::Streams::open_readable) |
//! | - | `pipe`, `pipeline` | [`Streams::pipe`](crate::stream::Streams::pipe), [`Streams::pipeline`](crate::stream::Streams::pipeline) |
//! | - | `new Transform` | [`Transform`](crate::stream::Transform) |
//! | `close_cb`, a status in each callback | `'error'`, then `'close'` | [`Handler::on_close`](crate::net::Handler::on_close), with the reason, once |
//! | `UV_ECONNREFUSED` | `err.code` | [`NetError::code`](crate::net::NetError::code), with stage, endpoints and time |
#![forbid(unsafe_code)]

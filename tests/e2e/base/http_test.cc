// HttpServer and HttpClient against each other and against raw bytes, over loopback and Unix sockets.
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/base/http_lab.hh"

namespace qanat::base {
namespace {

TEST_F(HttpTest, AnswersAndKeepsTheConnection) {
  start();
  run([&]() -> asio::awaitable<void> {
    HttpClient client{io};
    for (int i = 0; i < 3; ++i) {
      const auto answer = co_await client.fetch(origin, get("/hello/b%2Fc%20d"));
      EXPECT_TRUE(answer.has_value()) << answer.error().message();
      if (!answer) co_return;
      EXPECT_EQ(answer->status, 200);
      EXPECT_EQ(answer->body, "hello b/c d");
      EXPECT_EQ(client.idle(), 1u);
      EXPECT_EQ(server->connections(), 1u);
    }
    EXPECT_EQ((co_await client.fetch(origin, get("/healthz")))->body, "ok\n");
  }());
}

TEST_F(HttpTest, EchoesALargeBodyAndHeadersCannotBeInjected) {
  start();
  run([&]() -> asio::awaitable<void> {
    HttpClient client{io};
    std::string body(900'000, 'x');
    body += "end";
    const auto answer = co_await client.fetch(origin, post("/echo", body));
    EXPECT_TRUE(answer.has_value()) << answer.error().message();
    if (!answer) co_return;
    EXPECT_EQ(answer->body, body);
    EXPECT_EQ(answer->headers.find("set-cookie"), nullptr);
    EXPECT_TRUE(answer->headers.value_or("x-peer", "").starts_with("127.0.0.1:"));
  }());
}

TEST_F(HttpTest, RefusesWhatIsTooLargeOrUnknown) {
  limits.body_bytes = 1000;
  start();
  run([&]() -> asio::awaitable<void> {
    HttpClient client{io};
    const auto large = co_await client.fetch(origin, post("/echo", std::string(200'000, 'x')));
    EXPECT_EQ(large->status, 413);
    EXPECT_NE(large->body.find("\"body_too_large\""), std::string::npos) << large->body;
    EXPECT_EQ((co_await client.fetch(origin, get("/nowhere")))->status, 404);
    ClientRequest remove = get("/echo");
    remove.method = "DELETE";
    const auto method = co_await client.fetch(origin, remove);
    EXPECT_EQ(method->status, 405);
    EXPECT_EQ(method->headers.value_or("allow", ""), "POST");
    ClientRequest big = get("/");
    big.headers.add("x-big", std::string(20'000, 'h'));
    const auto headers = co_await client.fetch(origin, big);
    EXPECT_EQ(headers->status, 431);
    std::string chunks = "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n";
    chunks += std::string(2000, 'y') + "\r\n0\r\n\r\n";
    const std::string chunked = co_await raw(chunks);
    EXPECT_TRUE(chunked.starts_with("HTTP/1.1 413 ")) << chunked;
    const std::string nonsense = co_await raw("\x16\x03\x01 what is this\r\n\r\n");
    EXPECT_TRUE(nonsense.starts_with("HTTP/1.1 400 ")) << nonsense;
  }());
}

TEST_F(HttpTest, ClosesOnClientsThatDrip) {
  limits.header_timeout = 100ms;
  start();
  run([&]() -> asio::awaitable<void> {
    asio::ip::tcp::socket socket{io};
    co_await socket.async_connect({asio::ip::make_address("127.0.0.1"), server->port()}, asio::use_awaitable);
    boost::system::error_code ec;
    int sent = 0;
    const std::string line = "x-drip: 1\r\n";
    co_await asio::async_write(socket, asio::buffer(std::string_view{"GET / HTTP/1.1\r\n"}),
                               asio::use_awaitable);
    for (; sent < 100 && !ec; ++sent) {
      co_await asio::async_write(socket, asio::buffer(line), asio::redirect_error(asio::use_awaitable, ec));
      co_await pause(20ms);
    }
    EXPECT_LT(sent, 50);
  }());
}

TEST_F(HttpTest, ServesUnixSocketsAndReplacesStaleOnes) {
  start();
  const std::string path = "/tmp/qanat-http-" + std::to_string(::getpid()) + ".sock";
  server->listen_unix(path);
  EXPECT_THROW(HttpServer(io).listen_unix(path), std::system_error);
  run([&]() -> asio::awaitable<void> {
    HttpClient client{io};
    const auto answer = co_await client.fetch("unix:" + path, get("/hello/you"));
    EXPECT_EQ(answer->body, "hello you");
    const auto missing = co_await client.fetch("unix:" + path + ".no", get("/"));
    EXPECT_FALSE(missing.has_value());
  }());
  server->stop();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

// An overlay's address goes with its box, and a gateway may start before that is back.
TEST_F(HttpTest, ServesAnAddressThatComesLater) {
  if (::geteuid() != 0) GTEST_SKIP() << "a network namespace of its own needs root";
  start();
  std::string body;
  std::thread there{[&] {  // alone in its namespace
    if (::unshare(CLONE_NEWNET) != 0 || std::system("ip link set lo up") != 0) return;
    server->listen_tcp("100.96.7.1:0");
    const std::string url = "http://100.96.7.1:" + std::to_string(server->port());
    if (std::system("ip address add 100.96.7.1/32 dev lo") != 0) return;
    run([&]() -> asio::awaitable<void> {
      HttpClient client{io};
      const auto answer = co_await client.fetch(url, get("/hello/later"));
      body = answer ? answer->body : answer.error().message();
    }());
  }};
  there.join();
  EXPECT_EQ(body, "hello later");
}

TEST_F(HttpTest, ReportsWhatWentWrong) {
  start();
  run([&]() -> asio::awaitable<void> {
    HttpClientOptions options;
    options.connect_timeout = 300ms;
    options.read_timeout = 100ms;
    HttpClient client{io, options};
    EXPECT_EQ((co_await client.fetch("ftp://x", get("/"))).error(), Errc::BadUrl);
    const auto refused = co_await client.fetch("http://127.0.0.1:1", get("/"));
    EXPECT_EQ(refused.error(), boost::system::errc::connection_refused);
    EXPECT_EQ(
        (co_await client.fetch("https://127.0.0.1:" + std::to_string(server->port()), get("/"))).error(),
        Errc::UntrustedPeer);
    asio::ip::tcp::acceptor silent{io, {asio::ip::make_address("127.0.0.1"), 0}};
    const auto timeout =
        co_await client.fetch("http://127.0.0.1:" + std::to_string(silent.local_endpoint().port()), get("/"));
    EXPECT_EQ(timeout.error(), Errc::Timeout) << timeout.error().message();
  }());
}

TEST_F(HttpTest, AnswersPipelinedRequestsInOrder) {
  start();
  run([&]() -> asio::awaitable<void> {
    const std::string answer = co_await raw(
        "GET /hello/1 HTTP/1.1\r\nhost: x\r\n\r\nGET /hello/2 HTTP/1.1\r\nhost: x\r\nconnection: "
        "close\r\n\r\n");
    const std::size_t one = answer.find("hello 1");
    const std::size_t two = answer.find("hello 2");
    EXPECT_NE(one, std::string::npos);
    EXPECT_NE(two, std::string::npos);
    EXPECT_LT(one, two);
  }());
}

// The server's own ACKs tell nothing; the handler's socket is asked what TOS the client's segments carried.
TEST_F(HttpTest, SetsDscpAndSourceAddress) {
  start();
  run([&]() -> asio::awaitable<void> {
    asio::ip::tcp::acceptor acceptor{io, {asio::ip::make_address("127.0.0.1"), 0}};
    const int on = 1;
    ::setsockopt(acceptor.native_handle(), IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
    const std::string url = "http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
    HttpClientOptions options;
    options.read_timeout = 200ms;
    options.dscp = 34;
    options.local_address = "127.0.0.2";
    HttpClient client{io, options};
    std::optional<boost::system::error_code> error;
    asio::co_spawn(io, client.fetch(url, get("/")), [&](std::exception_ptr, Result<ClientResponse> r) {
      error = r ? boost::system::error_code{} : r.error();
    });
    asio::ip::tcp::endpoint peer;
    auto socket = co_await acceptor.async_accept(peer, asio::use_awaitable);
    EXPECT_EQ(peer.address().to_string(), "127.0.0.2");
    co_await socket.async_wait(asio::ip::tcp::socket::wait_read, asio::use_awaitable);
    // TCP reports the TOS of the last segment received through IP_PKTOPTIONS.
    alignas(cmsghdr) char control[256];
    socklen_t size = sizeof control;
    EXPECT_EQ(::getsockopt(socket.native_handle(), IPPROTO_IP, IP_PKTOPTIONS, control, &size), 0);
    int tos = -1;
    msghdr message{};
    message.msg_control = control;
    message.msg_controllen = size;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c))
      if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) tos = *CMSG_DATA(c);
    EXPECT_EQ(tos & 0xfc, 34 << 2);
    socket.close();
    while (!error) co_await pause(5ms);
    EXPECT_EQ(*error, Errc::Closed) << error->message();
  }());
}

TEST_F(HttpTest, BlockingFetchForPrograms) {
  start();
  std::string url = origin;
  Result<ClientResponse> answer = make_error_code(Errc::Closed);
  bool done = false;
  std::thread caller{[&] {
    answer = fetch_blocking(url, get("/hello/cli"));
    done = true;
    io.stop();
  }};
  io.run_for(5s);
  caller.join();
  ASSERT_TRUE(done);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->body, "hello cli");
}

}  // namespace
}  // namespace qanat::base

// HttpServer and HttpClient against each other and against raw bytes, over loopback and Unix sockets.
#include "base/http_server.hh"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstdlib>
#include <thread>

#include "base/errc.hh"
#include "base/http_client.hh"

namespace qanat::base {
namespace {
namespace asio = boost::asio;
using namespace std::chrono_literals;

asio::awaitable<void> pause(Duration d) {
  asio::steady_timer timer{co_await asio::this_coro::executor, d};
  co_await timer.async_wait(asio::use_awaitable);
}

ClientRequest get(std::string target) {
  ClientRequest request;
  request.target = std::move(target);
  return request;
}

ClientRequest post(std::string target, std::string body) {
  ClientRequest request = get(std::move(target));
  request.method = "POST";
  request.body = std::move(body);
  return request;
}

struct HttpTest : testing::Test {
  asio::io_context io{1};
  HttpLimits limits;
  std::unique_ptr<HttpServer> server;
  std::string origin;
  bool disconnected = false;
  int slow_calls = 0;
  static constexpr int kOffers = 300;
  static std::string offer(int i) {
    return std::string(static_cast<std::size_t>(40'000), static_cast<char>('a' + i % 26));
  }
  std::map<Responder::Offered, int> offered;

  void start() {
    server = std::make_unique<HttpServer>(io, limits);
    server->route("GET", "/hello/{name}", [](Request& r, Responder& out) -> asio::awaitable<void> {
      co_await out.send(200, "text/plain", "hello " + std::string{r.capture("name")});
    });
    server->route("POST", "/echo", [](Request& r, Responder& out) -> asio::awaitable<void> {
      out.set_header("x-peer", r.peer);
      out.set_header("x-tricky", "a\r\nset-cookie: b");
      co_await out.send(200, "application/octet-stream", r.body);
    });
    server->route("GET", "/events", [this](Request& r, Responder& out) -> asio::awaitable<void> {
      out.on_disconnect([this] { disconnected = true; });
      const int n = std::stoi(r.parameter("n").value_or("3"));
      co_await out.begin_events();
      for (int i = 0; i < n && !out.client_gone(); ++i) {
        co_await out.event("token " + std::to_string(i));
        co_await pause(5ms);
      }
    });
    // Far more than a socket holds, none of it waited for.
    server->route("GET", "/offered", [this](Request&, Responder& out) -> asio::awaitable<void> {
      co_await out.begin_stream(200, "text/plain");
      for (int i = 0; i < kOffers; ++i) offered[out.offer(offer(i))]++;
      co_await out.drain();
      offered[out.offer("end")]++;
    });
    server->route("GET", "/throws", [](Request&, Responder&) -> asio::awaitable<void> {
      throw std::runtime_error{"broken on purpose"};
      co_return;
    });
    server->route("GET", "/breaks-off", [](Request&, Responder& out) -> asio::awaitable<void> {
      co_await out.begin_stream(200, "text/plain");
      co_await out.write("half");
      throw std::runtime_error{"broken on purpose"};
    });
    server->listen_tcp("127.0.0.1:0");
    origin = "http://127.0.0.1:" + std::to_string(server->port());
  }

  // Runs one coroutine to its end with the loop; nothing here takes longer than 10 s.
  void run(asio::awaitable<void> body) {
    bool done = false;
    std::exception_ptr failure;
    asio::co_spawn(io, std::move(body), [&](std::exception_ptr e) {
      failure = e;
      done = true;
    });
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!done && std::chrono::steady_clock::now() < end) io.run_one_for(100ms);
    ASSERT_TRUE(done) << "the test's coroutine did not end";
    if (failure) std::rethrow_exception(failure);
  }

  // Sends raw bytes, returns everything until the server closes.
  asio::awaitable<std::string> raw(std::string bytes) {
    asio::ip::tcp::socket socket{io};
    co_await socket.async_connect({asio::ip::make_address("127.0.0.1"), server->port()}, asio::use_awaitable);
    co_await asio::async_write(socket, asio::buffer(bytes), asio::use_awaitable);
    std::string answer;
    boost::system::error_code ec;
    co_await asio::async_read(socket, asio::dynamic_buffer(answer),
                              asio::redirect_error(asio::use_awaitable, ec));
    co_return answer;
  }
};

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

TEST_F(HttpTest, StreamsEventsAsTheyCome) {
  start();
  run([&]() -> asio::awaitable<void> {
    HttpClient client{io};
    auto stream = co_await client.open(origin, get("/events?n=3"));
    EXPECT_TRUE(stream.has_value());
    if (!stream) co_return;
    EXPECT_EQ(stream->headers().value_or("content-type", ""), "text/event-stream");
    int pieces = 0;
    std::string all;
    while (true) {
      const auto part = co_await stream->read_some();
      EXPECT_TRUE(part.has_value());
      if (!part || part->empty()) break;
      all += *part;
      ++pieces;
    }
    EXPECT_EQ(all, "data: token 0\n\ndata: token 1\n\ndata: token 2\n\n");
    EXPECT_EQ(pieces, 3);
    EXPECT_EQ(client.idle(), 1u);
    EXPECT_FALSE(disconnected);
  }());
}

TEST_F(HttpTest, HandsOnPiecesUntilTheTakerHasHadEnough) {
  start();
  run([&]() -> asio::awaitable<void> {
    HttpClient client{io};
    auto stream = co_await client.open(origin, get("/events?n=5"));
    EXPECT_TRUE(stream.has_value());
    if (!stream) co_return;
    std::string all;
    int pieces = 0, enough = 2;
    const std::function<bool(std::string_view)> take = [&](std::string_view part) {
      all += part;
      return ++pieces != enough;
    };
    auto stopped = co_await stream->each(take);
    EXPECT_TRUE(stopped && *stopped == HttpStream::Stopped::ByTaker);
    EXPECT_EQ(all, "data: token 0\n\ndata: token 1\n\n");
    const auto between = co_await stream->read_some();
    EXPECT_TRUE(between && *between == "data: token 2\n\n");
    stopped = co_await stream->each(take);
    EXPECT_TRUE(stopped && *stopped == HttpStream::Stopped::AtEnd);
    EXPECT_EQ(all, "data: token 0\n\ndata: token 1\n\ndata: token 3\n\ndata: token 4\n\n");
    stopped = co_await stream->each(take);  // the end stays the end
    EXPECT_TRUE(stopped && *stopped == HttpStream::Stopped::AtEnd);
    EXPECT_EQ(client.idle(), 1u);

    auto endless = co_await client.open(origin, get("/events?n=100000"));
    enough = 0;
    asio::co_spawn(
        io,
        [cancel = endless->canceller()]() -> asio::awaitable<void> {
          co_await pause(30ms);
          cancel();
        },
        asio::detached);
    stopped = co_await endless->each(take);
    EXPECT_TRUE(!stopped && stopped.error() == Errc::Cancelled);
  }());
}

TEST_F(HttpTest, OffersWhatTheKernelTakesAndDrainsTheRestInOrder) {
  start();
  run([&]() -> asio::awaitable<void> {
    HttpClientOptions options;
    options.body_bytes = 32 * 1024 * 1024;
    HttpClient client{io, options};
    const auto answer = co_await client.fetch(origin, get("/offered"));
    std::string expected;
    for (int i = 0; i < kOffers; ++i) expected += offer(i);
    EXPECT_TRUE(answer && answer->body == expected + "end");
  }());
  EXPECT_GT(offered[Responder::Offered::Taken], 0);
  EXPECT_GT(offered[Responder::Offered::Kept], 0);
  EXPECT_EQ(offered[Responder::Offered::Gone], 0);
}

TEST_F(HttpTest, TellsTheHandlerThatTheClientLeft) {
  start();
  run([&]() -> asio::awaitable<void> {
    HttpClient client{io};
    {
      auto stream = co_await client.open(origin, get("/events?n=100000"));
      const auto first = co_await stream->read_some();
      EXPECT_TRUE(first.has_value());
    }
    for (int i = 0; i < 200 && !disconnected; ++i) co_await pause(5ms);
    EXPECT_TRUE(disconnected);
    for (int i = 0; i < 200 && server->connections() > 0; ++i) co_await pause(5ms);
    EXPECT_EQ(server->connections(), 0u);
  }());
}

TEST_F(HttpTest, CancellingAReadEndsIt) {
  start();
  run([&]() -> asio::awaitable<void> {
    HttpClient client{io};
    auto stream = co_await client.open(origin, get("/events?n=100000"));
    asio::co_spawn(
        io,
        [cancel = stream->canceller()]() -> asio::awaitable<void> {
          co_await pause(30ms);
          cancel();
        },
        asio::detached);
    while (true) {
      const auto part = co_await stream->read_some();
      if (part) continue;
      EXPECT_EQ(part.error(), Errc::Cancelled) << part.error().message();
      break;
    }
  }());
}

TEST_F(HttpTest, AHandlerThatThrowsIsAnErrorOrABrokenStream) {
  start();
  run([&]() -> asio::awaitable<void> {
    HttpClient client{io};
    const auto answer = co_await client.fetch(origin, get("/throws"));
    EXPECT_EQ(answer->status, 500);
    EXPECT_NE(answer->body.find("internal_error"), std::string::npos);
    const auto half = co_await client.fetch(origin, get("/breaks-off"));
    EXPECT_FALSE(half.has_value());
    EXPECT_EQ(half.error(), Errc::Closed);
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

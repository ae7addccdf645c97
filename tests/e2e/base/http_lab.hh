// HttpTest: a server with a route for each way of answering, on loopback, and the loop that both ends run on.
#pragma once

#include <gtest/gtest.h>

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
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "base/errc.hh"
#include "base/http_client.hh"
#include "base/http_server.hh"

namespace qanat::base {
namespace asio = boost::asio;
using namespace std::chrono_literals;

inline asio::awaitable<void> pause(Duration d) {
  asio::steady_timer timer{co_await asio::this_coro::executor, d};
  co_await timer.async_wait(asio::use_awaitable);
}

inline ClientRequest get(std::string target) {
  ClientRequest request;
  request.target = std::move(target);
  return request;
}

inline ClientRequest post(std::string target, std::string body) {
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

}  // namespace qanat::base

// Answers that come piece by piece: to their end, until the taker has had enough, or until somebody leaves.
#include "tests/e2e/base/http_lab.hh"

namespace qanat::base {
namespace {

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

}  // namespace
}  // namespace qanat::base

// The ledger's thread: what it is handed becomes durable once, queries see it, an end loses nothing.
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <filesystem>

#include "gateway/meter/ledger_thread.hh"

namespace qanat::meter {
namespace {

class LedgerThreadTest : public testing::Test {
 protected:
  LedgerThreadTest()
      : path_(std::filesystem::temp_directory_path() /
              ("qanat-ledger-thread-" + std::to_string(::getpid()))) {
    remove();
  }
  ~LedgerThreadTest() override { remove(); }
  void remove() {
    for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(path_.string() + end);
  }
  std::unique_ptr<Ledger> ledger() const { return std::make_unique<Ledger>(path_.string(), "g"); }
  static Settlement call(int number) {
    Settlement s;
    s.call = {.id = "call-" + std::to_string(number),
              .tenant = "lab",
              .project = "default",
              .key = "key-1",
              .model = "m",
              .pool = "far1",
              .path = "direct",
              .price = {"CNY", 400, 1600}};
    s.prompt_tokens = 10;
    s.delivered_tokens = 3;
    s.source = UsageSource::Final;
    return s;
  }

  std::filesystem::path path_;
  boost::asio::io_context io_{1};
};

boost::asio::awaitable<void> ask(LedgerThread& thread, std::uint64_t& calls) {
  const auto look = [](Ledger& l) { return l.totals().calls; };
  calls = co_await thread.query(look);
}

TEST_F(LedgerThreadTest, AQuerySeesWhatWasHandedInBeforeIt) {
  LedgerThread thread(io_, ledger());
  int settled = 0;
  for (int i = 0; i < 100; ++i) thread.settle(call(i), [&] { ++settled; });
  EXPECT_EQ(thread.backlog(), 100u);
  std::uint64_t calls = 0;
  boost::asio::co_spawn(io_, ask(thread, calls), boost::asio::detached);
  io_.run();
  EXPECT_EQ(calls, 100u);
  EXPECT_EQ(settled, 100);
  EXPECT_EQ(thread.backlog(), 0u);
}

TEST_F(LedgerThreadTest, WhatNobodyAsksForIsWrittenAsWell) {
  LedgerThread thread(io_, ledger());
  int settled = 0;
  for (int round = 1; round <= 3; ++round) {
    thread.settle(call(round), [&] { ++settled; });
    io_.restart();
    io_.run();  // ends when there is nothing left to wait for: the call is in the ledger
    EXPECT_EQ(settled, round);
  }
  EXPECT_EQ(thread.backlog(), 0u);
}

TEST_F(LedgerThreadTest, AnEndWritesWhatWasHandedIn) {
  {
    LedgerThread thread(io_, ledger());
    for (int i = 0; i < 10; ++i) thread.settle(call(i), [] {});
  }
  EXPECT_EQ(ledger()->totals().calls, 10u);
}

}  // namespace
}  // namespace qanat::meter

// SseParser, metrics, LogGate: what runs along with a stream.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <thread>

#include "base/errc.hh"
#include "base/log.hh"
#include "base/metrics.hh"
#include "base/sse.hh"
#include "base/time_slice.hh"

namespace qanat::base {
namespace {
using namespace std::chrono_literals;

std::vector<std::string> feed_in_pieces(std::string_view text, std::size_t piece) {
  SseParser parser;
  std::vector<SseEvent> events;
  for (std::size_t i = 0; i < text.size(); i += piece)
    EXPECT_TRUE(parser.feed(text.substr(i, piece), events).has_value());
  std::vector<std::string> out;
  for (const SseEvent& e : events) out.push_back(e.name + "|" + e.data + "|" + e.id);
  return out;
}

TEST(Sse, EventsComeOutTheSameHoweverTheBytesArrive) {
  const std::string text =
      "\xef\xbb\xbf"
      "data: one\n\n: comment\nevent: path\r\ndata: two\r\ndata:three\r\nid: 7\r\n\r\nid: 8\n\ndata\n\ndata: "
      "last";
  for (std::size_t piece = 1; piece <= text.size(); ++piece)
    EXPECT_THAT(feed_in_pieces(text, piece), testing::ElementsAre("|one|", "path|two\nthree|7", "||"))
        << piece;
}

TEST(Sse, CarriageReturnsAloneEndLinesToo) {
  EXPECT_THAT(feed_in_pieces("data: a\rdata: b\r\rdata: c\r\r\n", 64), testing::ElementsAre("|a\nb|", "|c|"));
}

TEST(TimeSlice, LeavesTheRestAsItWas) {
  std::thread thread([] {
    const int nice = ::getpriority(PRIO_PROCESS, 0);
    ask_for_slice(kShortSlice);  // false before Linux 6.12: nothing depends on it
    EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), nice);
    EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER);
  });
  thread.join();
}

TEST(Background, RestsAndHurries) {
  Background background;
  background.rest();  // before it has entered: nothing
  std::thread([&] {
    const int nice = ::getpriority(PRIO_PROCESS, 0);
    background.enter();
    EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), std::min(nice + 3, 19));
    background.rest();
    const int resting = ::sched_getscheduler(0);
    EXPECT_TRUE(resting == SCHED_IDLE || resting == SCHED_OTHER) << "OTHER where it might not come back";
    background.hurry();
    EXPECT_EQ(::sched_getscheduler(0), SCHED_OTHER);
    EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), std::min(nice + 3, 19));
  }).join();
}

TEST(Sse, LinesAndEventsAreBounded) {
  std::vector<SseEvent> events;
  SseParser lines{10, 100};
  EXPECT_EQ(lines.feed("data: 12345", events).error(), Errc::TooLarge);
  EXPECT_EQ(lines.feed("\n", events).error(), Errc::TooLarge);  // spent
  SseParser whole{10, 12};
  EXPECT_TRUE(whole.feed("data: 123\ndata: 456\n", events).has_value());
  EXPECT_EQ(whole.feed("data: 789\ndata: abc\n\n", events).error(), Errc::TooLarge);
  EXPECT_TRUE(events.empty());
}

TEST(Metrics, PrometheusText) {
  MetricsRegistry registry;
  registry.counter("qanat_calls_total", "Calls.", {{"tier", "bulk"}}).add(3);
  registry.counter("qanat_calls_total", "Calls.", {{"tier", "a\"b\\c\n"}}).add();
  registry.gauge("qanat_load", "Load\nnow.").set(0.5);
  Histogram& h = registry.histogram("qanat_wait_ms", "Wait.", {1, 10});
  for (const double v : {0.5, 1.0, 5.0, 50.0}) h.observe(v);
  EXPECT_EQ(registry.text(), R"(# HELP qanat_calls_total Calls.
# TYPE qanat_calls_total counter
qanat_calls_total{tier="a\"b\\c\n"} 1
qanat_calls_total{tier="bulk"} 3
# HELP qanat_load Load\nnow.
# TYPE qanat_load gauge
qanat_load 0.5
# HELP qanat_wait_ms Wait.
# TYPE qanat_wait_ms histogram
qanat_wait_ms_bucket{le="1"} 2
qanat_wait_ms_bucket{le="10"} 3
qanat_wait_ms_bucket{le="+Inf"} 4
qanat_wait_ms_sum 56.5
qanat_wait_ms_count 4
)");
}

TEST(Metrics, OneSeriesPerNameAndLabelsWhateverTheirOrder) {
  MetricsRegistry registry;
  Counter& a = registry.counter("c", "", {{"x", "1"}, {"y", "2"}});
  EXPECT_EQ(&a, &registry.counter("c", "", {{"y", "2"}, {"x", "1"}}));
  EXPECT_THROW(registry.gauge("c", ""), std::logic_error);
  registry.before_text([&] { registry.gauge("late", "").set(1); });
  EXPECT_NE(registry.text().find("late 1"), std::string::npos);
}

TEST(LogGate, LetsOneThroughPerIntervalAndCountsTheRest) {
  LogGate gate{1s};
  const Time start{100s};
  EXPECT_EQ(gate.pass(start), 0);
  EXPECT_EQ(gate.pass(start + 10ms), -1);
  EXPECT_EQ(gate.pass(start + 999ms), -1);
  EXPECT_EQ(gate.pass(start + 1s), 2);
  EXPECT_EQ(gate.pass(start + 3s), 0);
}

}  // namespace
}  // namespace qanat::base

// The SPEC grammar: what it takes, what it says about what it doesn't take, and that text and values agree.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/linkem/spec.hh"

namespace qanat::linkem {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

TEST(LinkemSpec, ReadsEveryItem) {
  const auto spec =
      parse_spec("100mbit,delay=20ms~normal(3ms),loss=1%,duplicate=0.5%,reorder=0.02,limit=500p,down");
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->rate_bps, 100'000'000u);
  EXPECT_EQ(spec->delay, base::Duration(20ms));
  EXPECT_EQ(spec->jitter, (Jitter{Jitter::Shape::Normal, 3ms}));
  EXPECT_DOUBLE_EQ(spec->loss.share, 0.01);
  EXPECT_DOUBLE_EQ(spec->duplicate, 0.005);
  EXPECT_DOUBLE_EQ(spec->reorder, 0.02);
  EXPECT_EQ(spec->limit_packets, 500u);
  EXPECT_TRUE(spec->down);
}

TEST(LinkemSpec, NothingIsAPerfectWire) { EXPECT_EQ(*parse_spec(""), Spec{}); }

TEST(LinkemSpec, ReadsUnitsAndFractions) {
  EXPECT_EQ(parse_spec("1.5gbit")->rate_bps, 1'500'000'000u);
  EXPECT_EQ(parse_spec("64kbit")->rate_bps, 64'000u);
  EXPECT_EQ(parse_spec("delay=250us")->delay, base::Duration(250us));
  EXPECT_EQ(parse_spec("delay=1.5ms~uniform(20us)")->jitter, (Jitter{Jitter::Shape::Uniform, 20us}));
  EXPECT_EQ(parse_spec("limit=64kb")->limit_bytes, 64'000u);
  EXPECT_EQ(parse_spec("limit=64kb")->limit_packets, 0u);
}

TEST(LinkemSpec, TextRoundTrips) {
  for (const char* text : {"",
                           "100mbit",
                           "1500bit,delay=1ns",
                           "2gbit,delay=9ms,loss=0.01,limit=64000b",
                           "down",
                           "delay=20ms~normal(3ms),duplicate=0.001,reorder=0.25,limit=500p",
                           "delay=0ms~uniform(1us)",
                           "trace(a b.trace),delay=1ms~pareto(2ms),unordered",
                           "delay=1ms~pareto(2ms,1.5)",
                           "delay=0ms~file(x)",
                           "loss=ge(0.01,0.3)",
                           "loss=ge(0.01,0.3,0.1,0.999)",
                           "loss=list(3,7-9)",
                           "loss=every(100)",
                           "corrupt=0.1",
                           "corrupt=fixed(0.1)",
                           "mtu=1400",
                           "mtu=silent(1280)",
                           "limit=20000us",
                           "limit=0.5us",
                           "queue=headdrop",
                           "queue=codel",
                           "queue=codel(10ms,200ms,ecn)",
                           "queue=pie(15ms)",
                           "queue=pie(20ms,ecn)",
                           "flap=(5s,200ms)",
                           "flap=exp(1s,10ms)"}) {
    const auto spec = parse_spec(text);
    ASSERT_TRUE(spec) << text << ": " << spec.error().message;
    EXPECT_EQ(to_string(*spec), text);
    EXPECT_EQ(*parse_spec(to_string(*spec)), *spec);
  }
}

TEST(LinkemSpec, ChangesOnlyWhatIsNamed) {
  const Spec running = *parse_spec("100mbit,delay=20ms,loss=1%");
  EXPECT_EQ(to_string(*parse_spec("down", running)), "100mbit,delay=20ms,loss=0.01,down");
  EXPECT_EQ(to_string(*parse_spec("rate=none,mtu=none,flap=none,loss=0",
                                  *parse_spec("1mbit,mtu=900,flap=(1s,1s),loss=ge(1%,2%)"))),
            "");
  EXPECT_EQ(to_string(*parse_spec("up,loss=0%", *parse_spec("down", running))), "100mbit,delay=20ms");
}

struct Bad {
  const char* text;
  std::size_t offset;
  const char* says;
};
class LinkemSpecErrors : public testing::TestWithParam<Bad> {};

TEST_P(LinkemSpecErrors, PointAtTheCharacter) {
  const Bad& bad = GetParam();
  const auto spec = parse_spec(bad.text);
  ASSERT_FALSE(spec) << bad.text;
  EXPECT_EQ(spec.error().offset, bad.offset) << spec.error().describe(bad.text);
  EXPECT_THAT(spec.error().message, HasSubstr(bad.says));
}

INSTANTIATE_TEST_SUITE_P(
    Table, LinkemSpecErrors,
    testing::Values(Bad{"100", 3, "unit of rate"}, Bad{"100mbps", 3, "unit of rate"}, Bad{"0mbit", 0, "1bit"},
                    Bad{"100mbit,delay=", 14, "a number"}, Bad{"100mbit,delay=20", 16, "unit of time"},
                    Bad{"delay=2h", 6, "one hour"}, Bad{"delay=4000s", 6, "one hour"},
                    Bad{"delay=1ms~gauss(1ms)", 10, "normal"}, Bad{"delay=1ms~normal", 16, "'('"},
                    Bad{"delay=1ms~normal(1ms", 20, "')'"}, Bad{"loss=101%", 5, "100%"},
                    Bad{"loss=-1%", 5, "a share"}, Bad{"loss=nan", 5, "a share"}, Bad{"limit=500", 9, "unit"},
                    Bad{"limit=0p", 6, "expected 1"}, Bad{"colour=red", 0, "unknown key"},
                    Bad{"1mbit,1mbit", 6, "twice"}, Bad{"up,down", 3, "twice"}, Bad{"1mbit,", 6, "a rate"},
                    Bad{"1mbit down", 5, "','"}, Bad{"LOSS=1%", 0, "a rate"},
                    Bad{"1e9bit", 1, "unit of rate"}, Bad{"99999999999999999999999mbit", 0, "1000gbit"},
                    Bad{"trace()", 6, "capacity trace"}, Bad{"loss=ge(1%)", 10, "','"},
                    Bad{"loss=ge(1%,2%,3%,4%,5%)", 19, "')'"}, Bad{"loss=list(9,3)", 12, "rising"},
                    Bad{"loss=every(0)", 11, "whole number"}, Bad{"delay=1ms~pareto(1ms,1)", 21, "above 1"},
                    Bad{"corrupt=fix(1%)", 8, "fixed"}, Bad{"mtu=20", 4, "68"},
                    Bad{"mtu=quiet(1400)", 4, "silent"}, Bad{"queue=red", 6, "codel"},
                    Bad{"queue=codel(5ms)", 15, "','"}, Bad{"queue=pie(15ms,enc)", 15, "ecn"},
                    Bad{"flap=(5s)", 8, "','"}, Bad{"flap=(5s,0s)", 6, "above zero"},
                    Bad{"rate=fast", 5, "none"}, Bad{"ordered,unordered", 8, "twice"}));

TEST(LinkemSpec, DescribeDrawsACaret) {
  EXPECT_EQ(parse_spec("loss=1x").error().describe("loss=1x"), "loss=1x\n      ^\nexpected ',' or the end");
}

}  // namespace
}  // namespace qanat::linkem

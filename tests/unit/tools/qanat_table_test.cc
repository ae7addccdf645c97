// Tables of the command line: aligned, and cut to the terminal's width.
#include "tools/qanat/table.hh"

#include <gtest/gtest.h>

namespace qanat::cli {
namespace {

Table sample() {
  Table table{{"NAME", ">RTT", "PATH"}};
  table.row({"city", "9.1 ms", "city > relay1 > far1"});
  table.row({"贵安", "12.0 ms", ""});
  return table;
}

TEST(Table, AlignsAndLeavesNoTrailingSpace) {
  EXPECT_EQ(sample().text(0),
            "NAME      RTT  PATH\n"
            "city   9.1 ms  city > relay1 > far1\n"
            "贵安  12.0 ms\n");
}

TEST(Table, IsEmptyWithHeadingsAlone) {
  EXPECT_TRUE(Table({"NAME", ">RTT"}).empty());
  EXPECT_FALSE(sample().empty());
}

TEST(Table, CutsTheWidestColumnToTheTerminal) {
  const std::string text = sample().text(24);
  EXPECT_EQ(text,
            "NAME      RTT  PATH\n"
            "city   9.1 ms  city > r…\n"
            "贵安  12.0 ms\n");
}

TEST(Table, NeverCutsBelowWhatCanBeRead) { EXPECT_NE(sample().text(5).find("city"), std::string::npos); }

TEST(Figures, HaveTheirUnits) {
  EXPECT_EQ(milliseconds(12345), "12.3 ms");
  EXPECT_EQ(bytes(999), "999 B");
  EXPECT_EQ(bytes(1'234'567), "1.2 MB");
  EXPECT_EQ(percent(2500), "0.25 %");
}

}  // namespace
}  // namespace qanat::cli

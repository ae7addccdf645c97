// What a capture says is what passed: read back by tshark, with our dissector, and by tcpdump.
//
//   a (box 1) ══ overlay over v1 ══ b (box 2)      tenant 100: 100.96.1.1 at a, 100.96.2.1 at b
#include <gmock/gmock.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "dataplane/io/capture_tap.hh"
#include "tests/support/daemon_process.hh"
#include "tests/support/flows.hh"
#include "tests/support/joined.hh"
#include "tests/support/namespaces.hh"
#include "tests/support/test_box.hh"

namespace qanat::test {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string output_of(const std::string& command) {
  std::string out;
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return out;
  std::array<char, 4096> buffer{};
  for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    out.append(buffer.data(), n);
  ::pclose(pipe);
  return out;
}

bool has(const char* program) {
  return std::system(("command -v " + std::string(program) + " >/dev/null").c_str()) == 0;
}

class Capture : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = namespaces_missing(); !missing.empty()) GTEST_SKIP() << missing;
    if (!has("tshark") || !has("tcpdump")) GTEST_SKIP() << "needs tshark and tcpdump";
    Joined boxes = joined(net);
    a = boxes.a;
    b = boxes.b;
    overlay = std::move(boxes.overlay);
    box_a = std::make_unique<TestBox>(overlay, 1, a);
    box_b = std::make_unique<TestBox>(overlay, 2, b);
    ASSERT_TRUE(box_a->wait_for_path(2, 20)) << box_a->drops_text();
    ASSERT_TRUE(box_b->wait_for_path(1, 20)) << box_b->drops_text();
  }
  // Captures at box a while a megabyte goes to b; the file's path.
  std::string captured(io::CaptureOptions options) {
    const auto tap = std::make_shared<io::CaptureTap>(std::move(options));
    box_a->crew().set_tap(tap);
    const TcpResult r = tcp_transfer(a, b, "100.96.2.1", 1 << 20);
    EXPECT_TRUE(r.intact);
    std::this_thread::sleep_for(std::chrono::milliseconds{300});
    box_a->crew().set_tap(nullptr);
    recorded = tap->recorded();
    EXPECT_EQ(tap->lost(), 0u);
    const std::string file = folder.file("capture.pcapng");
    std::ofstream(file, std::ios::binary) << tap->take();
    return file;
  }
  support::TempFolder folder{"qanat-capture"};
  Namespaces net;
  std::string a, b;
  Overlay overlay{6};
  std::unique_ptr<TestBox> box_a, box_b;
  std::uint64_t recorded = 0;
};

TEST_F(Capture, ClearPacketsAreTheTenantsWithCompleteChecksums) {
  io::CaptureOptions options;
  options.filter = "tcp and host 100.96.2.1";
  const std::string file = captured(options);
  EXPECT_GT(recorded, 10u);
  const std::string read = output_of("tshark -n -r " + file +
                                     " -o tcp.check_checksum:TRUE -T fields -e ip.src -e tcp.dstport -e "
                                     "tcp.checksum.status -e frame.comment");
  EXPECT_THAT(read, HasSubstr("\t1\tvni 100"));
  EXPECT_THAT(read, HasSubstr("100.96.1.1\t"));
  EXPECT_THAT(read, HasSubstr("100.96.2.1\t"));
  EXPECT_THAT(read, Not(HasSubstr("\t0\tvni"))) << "a bad checksum";
  EXPECT_THAT(output_of("tcpdump -n -r " + file + " -c 1"), HasSubstr("100.96.1.1"));
}

TEST_F(Capture, AFilterLeavesTheRestOut) {
  io::CaptureOptions options;
  options.filter = "udp port 9";
  captured(options);
  EXPECT_EQ(recorded, 0u);
  options.filter = "tcp and and";
  EXPECT_THROW(io::CaptureTap{options}, std::invalid_argument);
}

TEST_F(Capture, SealedDatagramsShowTheirHeadersAndNothingElse) {
  io::CaptureOptions options;
  options.clear = false;
  options.sealed = true;
  const std::string file = captured(options);
  const std::string lua = std::filesystem::absolute("tools/wireshark/qanat.lua").string();
  const std::string read = output_of("tshark -n -r " + file + " -X lua_script:" + lua +
                                     " -o udp.check_checksum:TRUE -T fields -e ip.dst -e udp.checksum.status"
                                     " -e qanat.type -e qanat.bucket -e qanat.space");
  EXPECT_THAT(read, HasSubstr("10.1.0.2\t1\t4\t")) << read.substr(0, 400);
  EXPECT_THAT(read, HasSubstr("10.1.0.1\t1\t4\t"));
  EXPECT_THAT(output_of("tshark -n -r " + file + " -X lua_script:" + lua + " -Y qanat -c 3"),
              HasSubstr("QANAT"));
  EXPECT_THAT(output_of("tshark -n -r " + file + " -Y 'ip.addr==100.96.2.1' | wc -l"), HasSubstr("0"));
}

}  // namespace
}  // namespace qanat::test

// Two boxes in two namespaces, or three with a relay between, until stdin closes: something to point iperf3 and perf at.
//   test_two_boxes [relay]     prints the namespaces and addresses that it made
#include <cstdio>
#include <cstring>

#include "tests/support/joined.hh"
#include "tests/support/namespaces.hh"
#include "tests/support/test_box.hh"

int main(int argc, char** argv) {
  using namespace qanat;
  const bool relay = argc > 1 && std::strcmp(argv[1], "relay") == 0;
  test::Namespaces net;
  const test::Relayed boxes = relay ? test::relayed(net) : [&net] {
    test::Joined two = test::joined(net);
    return test::Relayed{two.a, two.b, "", std::move(two.overlay)};
  }();
  test::TestBox box_a(boxes.overlay, 1, boxes.a);
  test::TestBox box_b(boxes.overlay, 2, boxes.b);
  std::unique_ptr<test::TestBox> box_r;
  if (relay) box_r = std::make_unique<test::TestBox>(boxes.overlay, 3, boxes.r);
  const bool up = box_a.wait_for_path(2, 10);
  std::printf("%s: %s 100.96.1.1, %s 100.96.2.1, bare 10.1.0.1 10.1.0.2\n", up ? "up" : "down",
              boxes.a.c_str(), boxes.b.c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  std::printf("a: %s\nb: %s\n", box_a.drops_text().c_str(), box_b.drops_text().c_str());
}

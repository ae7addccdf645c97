// Two boxes in two namespaces, or three with a relay between, until stdin closes: something to point iperf3 and perf at.
//   test_two_boxes [relay]     prints the namespaces and addresses that it made
#include <cstdio>
#include <cstring>

#include "tests/support/namespaces.hh"
#include "tests/support/test_box.hh"

int main(int argc, char** argv) {
  using namespace qanat;
  using ids::NodeId;
  using ids::Sid;
  const bool relay = argc > 1 && std::strcmp(argv[1], "relay") == 0;
  test::Namespaces net;
  const std::string a = net.add("a");
  const std::string b = net.add("b");
  test::Overlay overlay(1);
  overlay.add_node(1, false, {1});
  overlay.add_node(2, false, {static_cast<std::uint8_t>(relay ? 2 : 1)});
  overlay.add_tenant(100, {1, 2});
  std::string r;
  if (relay) {
    r = net.add("r");
    overlay.add_node(3, true, {1, 2});
    overlay.add_lists({10, 1, {}, 0, 1, {Sid::end(NodeId{3}), Sid::end(NodeId{2})}});
    overlay.add_lists({20, 2, {}, 0, 2, {Sid::end(NodeId{3}), Sid::end(NodeId{1})}});
    net.join(a, "10.1.0.1/16", r, "10.1.0.3/16", "v1");
    net.join(b, "10.2.0.2/16", r, "10.2.0.3/16", "v2");
  } else {
    net.join(a, "10.1.0.1/16", b, "10.1.0.2/16", "v1");
  }
  test::TestBox box_a(overlay, 1, a);
  test::TestBox box_b(overlay, 2, b);
  std::unique_ptr<test::TestBox> box_r;
  if (relay) box_r = std::make_unique<test::TestBox>(overlay, 3, r);
  const bool up = box_a.wait_for_path(2, 10);
  std::printf("%s: %s 100.96.1.1, %s 100.96.2.1, bare 10.1.0.1 10.1.0.2\n", up ? "up" : "down", a.c_str(),
              b.c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  std::printf("a: %s\nb: %s\n", box_a.drops_text().c_str(), box_b.drops_text().c_str());
}

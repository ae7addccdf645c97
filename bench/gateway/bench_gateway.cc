// bench_gateway: the two hands of bench/gateway.
//   bench_gateway mock PORT
//   bench_gateway calls PORT [--rate R] [--connections N] [--seconds S] [--prompt BYTES] [--model M] [--header "N: V"]…
//   bench_gateway streams PORT --count N [--seconds S] …
#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "base/time_slice.hh"
#include "bench/gateway/wire.hh"

int main(int argc, char** argv) {
  using namespace qanat::bench;
  // Load and mock may share a core: neither must wait for the other's turn of some milliseconds.
  qanat::base::ask_for_slice(qanat::base::kShortSlice);
  if (argc < 3) return fmt::print(stderr, "bench_gateway: mock|calls|streams PORT …\n"), 2;
  const std::string_view mode = argv[1];
  Asking asking;
  asking.port = std::atoi(argv[2]);
  double rate = 0, seconds = 2;
  int connections = 16, count = 100;
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    const char* value = argv[i + 1];
    if (option == "--rate")
      rate = std::atof(value);
    else if (option == "--seconds")
      seconds = std::atof(value);
    else if (option == "--connections")
      connections = std::atoi(value);
    else if (option == "--count")
      count = std::atoi(value);
    else if (option == "--prompt")
      asking.prompt_bytes = static_cast<std::size_t>(std::atol(value));
    else if (option == "--model")
      asking.model = value;
    else if (option == "--header")
      asking.headers.emplace_back(value);
    else
      return fmt::print(stderr, "bench_gateway: unknown option {}\n", option), 2;
  }
  if (mode == "mock") return run_mock(asking.port);
  if (mode == "calls") return run_calls(asking, rate, connections, seconds);
  if (mode == "streams") return run_streams(asking, count, seconds);
  return 2;
}

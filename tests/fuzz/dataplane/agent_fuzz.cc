// The agent against a hostile controller: any bytes as frames of a session, any bytes as the file on disk.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/agent/agent_machine.hh"
#include "dataplane/agent/snapshot_compiler.hh"
#include "identifiers/proto/config_state.hh"
#include "identifiers/proto/framing.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qanat;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto stored = agent::parse_stored(bytes)) agent::compile_snapshot(stored->in_force->upserts());
  base::Time now{};
  agent::AgentMachine::Settings settings;
  settings.addresses = {"192.0.2.1:7443", "192.0.2.2:7443"};
  settings.compile = agent::compile_snapshot;
  const bool enrolled = size > 0 && (data[size - 1] & 1) != 0;
  agent::AgentMachine machine(
      settings,
      enrolled ? std::optional(agent::Enrolment{7, 3, {proto::Ed25519Public{}}, {}}) : std::nullopt);
  if (const auto stored = agent::parse_stored(bytes)) machine.load(*stored, now);
  machine.start(now);
  machine.on_connected(now);
  proto::FrameDecoder decoder(proto::kMaxBody);
  decoder.feed(bytes);
  for (;;) {
    const auto body = decoder.next();
    if (!body || !*body) break;
    auto envelope = proto::parse_envelope(**body);
    if (envelope) machine.on_envelope(std::move(*envelope), now);
    now += std::chrono::milliseconds(700);
    machine.on_timer(now);
    if (machine.state() == agent::AgentMachine::State::Connecting) machine.on_connected(now);
    machine.take_actions();
  }
  return 0;
}

-- Qanat's datagrams for Wireshark and tshark (docs/specifications/wire.md). Copy it to the personal Lua plugins folder
-- (Help > About > Folders), or: tshark -X lua_script:tools/wireshark/qanat.lua
-- UDP port 7700 by default; "Decode As…" takes others. What is sealed stays sealed.

local qanat = Proto("qanat", "Qanat overlay")

local types = {
  [1] = "handshake initiation", [2] = "handshake response", [3] = "cookie reply", [4] = "sealed", [5] = "routed",
}
local suites = { [0] = "AES-256-GCM", [1] = "ChaCha20-Poly1305" }

local f = {
  type = ProtoField.uint8("qanat.type", "Type", base.DEC, types),
  suite = ProtoField.uint8("qanat.suite", "Suite", base.DEC, suites),
  bucket = ProtoField.uint8("qanat.bucket", "Bucket", base.DEC),
  control = ProtoField.bool("qanat.control", "Control (probe or relayed handshake)"),
  sender = ProtoField.uint32("qanat.sender", "Sender index", base.HEX),
  receiver = ProtoField.uint32("qanat.receiver", "Receiver index", base.HEX),
  ephemeral = ProtoField.bytes("qanat.ephemeral", "Ephemeral key"),
  static = ProtoField.bytes("qanat.static", "Static key (encrypted)"),
  payload = ProtoField.bytes("qanat.payload", "Payload (encrypted)"),
  mac1 = ProtoField.bytes("qanat.mac1", "mac1"),
  mac2 = ProtoField.bytes("qanat.mac2", "mac2"),
  nonce = ProtoField.bytes("qanat.nonce", "Nonce"),
  cookie = ProtoField.bytes("qanat.cookie", "Cookie (encrypted)"),
  space = ProtoField.uint32("qanat.space", "Space", base.HEX),
  path_slot = ProtoField.uint32("qanat.space.path", "Path slot", base.DEC),
  group = ProtoField.uint32("qanat.space.group", "Bucket group", base.DEC),
  counter = ProtoField.uint64("qanat.counter", "Counter", base.DEC),
  sealed = ProtoField.bytes("qanat.sealed", "Sealed packet"),
  tag = ProtoField.bytes("qanat.tag", "Tag"),
  route_bytes = ProtoField.uint8("qanat.route_bytes", "Route header bytes", base.DEC),
  segments = ProtoField.uint8("qanat.segments", "Segments", base.DEC),
  link_receiver = ProtoField.uint32("qanat.link.receiver", "Link receiver index", base.HEX),
  link_counter = ProtoField.uint64("qanat.link.counter", "Link counter", base.DEC),
  route = ProtoField.bytes("qanat.route", "Route header (encrypted)"),
  link_tag = ProtoField.bytes("qanat.link.tag", "Link tag"),
}
qanat.fields = f

local e = {
  short = ProtoExpert.new("qanat.short", "Shorter than its type allows", expert.group.MALFORMED, expert.severity.ERROR),
  nested = ProtoExpert.new("qanat.nested", "A routed datagram carries types 1, 2 and 4", expert.group.PROTOCOL,
                           expert.severity.WARN),
}
qanat.experts = e

local least = { [1] = 148, [2] = 92, [3] = 64, [4] = 50, [5] = 16 + 32 + 16 + 50 }

local function handshake(kind, buffer, tree)
  tree:add(f.suite, buffer(1, 1))
  if kind == 1 then
    tree:add(f.sender, buffer(4, 4))
    tree:add(f.ephemeral, buffer(8, 32))
    tree:add(f.static, buffer(40, 48))
    tree:add(f.payload, buffer(88, 28))
    tree:add(f.mac1, buffer(116, 16))
    tree:add(f.mac2, buffer(132, 16))
  elseif kind == 2 then
    tree:add(f.sender, buffer(4, 4))
    tree:add(f.receiver, buffer(8, 4))
    tree:add(f.ephemeral, buffer(12, 32))
    tree:add(f.payload, buffer(44, 16))
    tree:add(f.mac1, buffer(60, 16))
    tree:add(f.mac2, buffer(76, 16))
  else
    tree:add(f.receiver, buffer(4, 4))
    tree:add(f.nonce, buffer(8, 24))
    tree:add(f.cookie, buffer(32, 32))
  end
end

local function bucket(buffer, tree)
  tree:add(f.bucket, buffer(1, 1))
  tree:add(f.control, buffer(1, 1), buffer(1, 1):uint() == 255):set_generated()
end

local function dissect(buffer, tree, nested)
  local kind = buffer(0, 1):uint()
  tree:add(f.type, buffer(0, 1))
  if not types[kind] or buffer:len() < least[kind] then
    tree:add_proto_expert_info(e.short)
    return types[kind] or "unknown"
  end
  if nested and (kind == 3 or kind == 5) then tree:add_proto_expert_info(e.nested) end
  if kind <= 3 then
    handshake(kind, buffer, tree)
    return types[kind]
  end
  bucket(buffer, tree)
  if kind == 4 then
    tree:add(f.receiver, buffer(4, 4))
    local space = tree:add(f.space, buffer(8, 4))
    space:add(f.path_slot, buffer(8, 2))
    space:add(f.group, buffer(10, 2))
    tree:add(f.counter, buffer(12, 8))
    tree:add(f.sealed, buffer(20, buffer:len() - 36))
    tree:add(f.tag, buffer(buffer:len() - 16, 16))
    return string.format("sealed %08x #%s", buffer(4, 4):uint(), tostring(buffer(12, 8):uint64()))
  end
  local route = buffer(2, 1):uint()
  tree:add(f.route_bytes, buffer(2, 1))
  tree:add(f.link_receiver, buffer(4, 4))
  tree:add(f.link_counter, buffer(8, 8))
  if buffer:len() < 32 + route + 50 then
    tree:add_proto_expert_info(e.short)
    return "routed"
  end
  tree:add(f.segments, buffer(2, 1), (route - 8) / 12):set_generated()
  tree:add(f.route, buffer(16, route))
  tree:add(f.link_tag, buffer(16 + route, 16))
  local inner = buffer(32 + route):tvb()
  local text = dissect(inner, tree:add(qanat, inner(), "Inner datagram"), true)
  return string.format("routed over %d segments: %s", (route - 8) / 12, text)
end

function qanat.dissector(buffer, pinfo, root)
  if buffer:len() == 0 then return 0 end
  pinfo.cols.protocol = "QANAT"
  local tree = root:add(qanat, buffer(), "Qanat")
  local text = dissect(buffer, tree, false)
  tree:append_text(": " .. text)
  pinfo.cols.info = text
  return buffer:len()
end

DissectorTable.get("udp.port"):add(7700, qanat)

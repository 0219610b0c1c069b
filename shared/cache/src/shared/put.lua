-- Sets an entry unless a newer version is there; the same version joins vectors. One step, one key.
-- KEYS[1]: the key. ARGV[1]: the entry as bytes (layout: wire.rs). ARGV[2]: life in milliseconds.
local new = ARGV[1]
local HEAD, MARK, LANE = 11, 19, 11

-- 64-bit numbers in halves: Lua's own numbers carry 53 bits.
local function half(bytes, at)
  return struct.unpack('>I4I4', bytes, at)
end

local head = redis.call('GETRANGE', KEYS[1], 0, HEAD - 1)
if #head == HEAD then
  local old_high, old_low = half(head, 2)
  local new_high, new_low = half(new, 2)
  if old_high > new_high or (old_high == new_high and old_low > new_low) then
    return 0
  end
  if old_high == new_high and old_low == new_low then
    local old_count = struct.unpack('>H', head, 10)
    local new_count = struct.unpack('>H', new, 10)
    local position, lanes = {}, {}
    local function add(marks, from, count)
      for i = 0, count - 1 do
        local at = from + i * MARK
        local lane = string.sub(marks, at, at + LANE - 1)
        local here = string.sub(marks, at + LANE, at + MARK - 1)
        local known = position[lane]
        if not known then
          lanes[#lanes + 1] = lane
          position[lane] = here
        else
          local known_high, known_low = half(known, 1)
          local here_high, here_low = half(here, 1)
          if here_high > known_high or (here_high == known_high and here_low > known_low) then
            position[lane] = here
          end
        end
      end
    end
    add(redis.call('GETRANGE', KEYS[1], HEAD, HEAD + old_count * MARK - 1), 1, old_count)
    add(new, HEAD + 1, new_count)
    local parts = { string.sub(new, 1, 9), struct.pack('>H', #lanes) }
    for _, lane in ipairs(lanes) do
      parts[#parts + 1] = lane .. position[lane]
    end
    parts[#parts + 1] = string.sub(new, HEAD + 1 + new_count * MARK)
    new = table.concat(parts)
  end
end
redis.call('SET', KEYS[1], new, 'PX', ARGV[2])
return 1

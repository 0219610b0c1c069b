-- Takes up to so many tokens from a bucket: the time at which it is full again, moved on by each token.
-- KEYS[1]: the bucket. ARGV: microseconds between two tokens, tokens that it holds, tokens wanted.
-- Returns how many were taken and, if none, the microseconds until there is one. The time is the server's.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local pause, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') or 0, now)
-- A server whose clock was set back must not hold anyone up.
if full > now + burst * pause then full = now + burst * pause end
local left = math.floor((now + burst * pause - full) / pause + 0.000001)
if left < 1 then
  return { 0, math.ceil(full + pause - burst * pause - now) }
end
local taken = math.min(left, wanted)
full = full + taken * pause
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil((full - now) / 1000) + 1000)
return { taken, 0 }

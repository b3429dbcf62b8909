function proof = prove(token, side, hello, challenge)
%PROVE The proof that one side, 'dialer' or 'listener', knows the token (section 9 of docs/wire.md): HMAC-SHA256.
%   hello and challenge are the whole frames.
  secret = rlay.utf8(token);
  % The key has 32 bytes, less than a block.
  key = [rlay.sha256([typecast(uint64(numel(secret)), 'uint8') secret]) zeros(1, 32, 'uint8')];
  inner = rlay.sha256([bitxor(key, uint8(54)) uint8(['rlay ' side]) hello challenge]);
  proof = rlay.sha256([bitxor(key, uint8(92)) inner]);
end

function bytes = random32()
%RANDOM32 32 random bytes of the system.
  file = fopen('/dev/urandom', 'r');
  if file >= 0
    bytes = uint8(fread(file, 32, 'uint8')).';
    fclose(file);
  elseif usejava('jvm')
    random = java.security.SecureRandom();
    bytes = typecast(random.generateSeed(32), 'uint8');
    bytes = bytes(:).';
  else
    error('rlay:usage', 'this system has neither /dev/urandom nor Java; without them there is no token');
  end
end

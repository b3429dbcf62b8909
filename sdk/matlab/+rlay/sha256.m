function digest = sha256(bytes)
%SHA256 The SHA-256 of a row of bytes: 32 bytes. Octave has it as a function, MATLAB in its Java.
  if exist('OCTAVE_VERSION', 'builtin')
    digest = uint8(hex2dec(reshape(hash('sha256', char(bytes)), 2, 32).')).';
  else
    algorithm = java.security.MessageDigest.getInstance('SHA-256');
    digest = typecast(algorithm.digest(bytes), 'uint8');
    digest = digest(:).';
  end
end

document.getElementById('app')!.textContent = 'Qanat';
